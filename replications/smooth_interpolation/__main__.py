"""`python -m replications.smooth_interpolation`: sharpness in input space over width and epochs."""

from common.program import main
from replications.smooth_interpolation.settings import REPLICATION

if __name__ == "__main__":
    main(REPLICATION)
