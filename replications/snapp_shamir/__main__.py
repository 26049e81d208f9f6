"""`python -m replications.snapp_shamir`: trains and measures pairs of models on synthetic data."""

from common.program import main
from replications.snapp_shamir.settings import REPLICATION

if __name__ == "__main__":
    main(REPLICATION)
