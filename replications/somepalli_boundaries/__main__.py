"""`python -m replications.somepalli_boundaries`: decision boundaries, reproducibility and double descent."""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("somepalli_boundaries")  # also while the rest is imported

    from common.study import program
    from replications.somepalli_boundaries.presets import STUDY

    program.main(STUDY)
