"""`python -m replications.somepalli_boundaries`: decision boundaries, reproducibility and double descent."""

from common.program import main
from replications.somepalli_boundaries.settings import REPLICATION

if __name__ == "__main__":
    main(REPLICATION)
