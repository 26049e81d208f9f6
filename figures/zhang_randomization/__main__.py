"""`python -m figures.zhang_randomization` draws from records."""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("figures.zhang_randomization", goes_on=False)  # also while the rest is imported

    from figures import drawing
    from figures.zhang_randomization.paper_figures import PAPER_FIGURES

    drawing.main(PAPER_FIGURES)
