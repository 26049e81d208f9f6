"""`python -m replications.somepalli_boundaries`: decision boundaries, reproducibility and double descent.

With `--models=a.keras,b.keras` it scores two saved models instead.
"""

import sys

from common import interruption

if __name__ == "__main__":
    interruption.listen("somepalli_boundaries")  # also while the rest is imported

    from common import program
    from replications.somepalli_boundaries import score
    from replications.somepalli_boundaries.settings import REPLICATION

    if score.is_requested(sys.argv):
        score.main()
    else:
        program.main(REPLICATION)
