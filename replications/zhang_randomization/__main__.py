"""`python -m replications.zhang_randomization`: randomization tests of image classifiers."""

from common.program import main
from replications.zhang_randomization.settings import REPLICATION

if __name__ == "__main__":
    main(REPLICATION)
