"""`python -m replications.zhang_randomization`: randomization tests of image classifiers."""

from common import interruption

if __name__ == "__main__":
    interruption.listen("zhang_randomization")  # also while the rest is imported

    from common.program import main
    from replications.zhang_randomization.settings import REPLICATION

    main(REPLICATION)
