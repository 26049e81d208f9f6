"""`python -m replications.zhang_randomization`: randomization tests of image classifiers."""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("zhang_randomization")  # also while the rest is imported

    from common.study.program import main
    from replications.zhang_randomization.presets import STUDY

    main(STUDY)
