"""Gamba et al. 2022, "Deep Double Descent via Smooth Interpolation" (arXiv 2209.10080)."""
