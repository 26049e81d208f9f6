"""`python -m replications.snapp_shamir`: trains and measures pairs of models on synthetic data."""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("snapp_shamir")  # also while the rest is imported

    from common.study.program import main
    from replications.snapp_shamir.presets import STUDY

    main(STUDY)
