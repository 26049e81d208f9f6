"""`python -m figures.smooth_interpolation` draws from records."""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("figures.smooth_interpolation", goes_on=False)  # also while the rest is imported

    from figures import drawing
    from figures.smooth_interpolation.paper_figures import PAPER_FIGURES

    drawing.main(PAPER_FIGURES)
