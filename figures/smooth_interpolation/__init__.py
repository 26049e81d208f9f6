"""The figures of Gamba et al. 2022, from run records alone."""
