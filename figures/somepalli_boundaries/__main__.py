"""`python -m figures.somepalli_boundaries` draws from records."""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("figures.somepalli_boundaries", goes_on=False)  # also while the rest is imported

    from figures import drawing
    from figures.somepalli_boundaries.paper_figures import PAPER_FIGURES

    drawing.main(PAPER_FIGURES)
