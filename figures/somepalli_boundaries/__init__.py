"""The figures of Somepalli et al. 2022, from run records alone."""
