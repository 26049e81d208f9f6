"""`python -m replications.somepalli_boundaries`: decision boundaries, reproducibility and double descent.

With `--models=a.keras,b.keras` it scores two saved models instead.
"""

import sys

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("somepalli_boundaries")  # also while the rest is imported

    from common.study import program
    from replications.somepalli_boundaries import score
    from replications.somepalli_boundaries.presets import STUDY

    if score.is_requested(sys.argv):
        score.main()
    else:
        program.main(STUDY)
