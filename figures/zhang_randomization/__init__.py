"""The figures of Zhang et al. 2017, from run records alone."""
