"""Snapp & Shamir 2021, "Synthesizing Irreproducibility in Deep Networks" (arXiv 2102.10696)."""
