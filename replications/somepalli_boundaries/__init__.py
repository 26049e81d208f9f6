"""Somepalli et al. 2022, "Can neural nets learn the same model twice?": planes through images."""
