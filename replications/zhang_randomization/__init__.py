"""Zhang et al. 2017, "Understanding deep learning requires rethinking generalization", and EE-411's rerun."""
