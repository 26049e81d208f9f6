"""`python -m replications.smooth_interpolation`: sharpness in input space over width and epochs."""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("smooth_interpolation")  # also while the rest is imported

    from common.study.program import main
    from replications.smooth_interpolation.presets import STUDY

    main(STUDY)
