"""`python -m figures.snapp_shamir` draws from records."""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("figures.snapp_shamir", goes_on=False)  # also while the rest is imported

    from figures import drawing
    from figures.snapp_shamir.paper_figures import PAPER_FIGURES

    drawing.main(PAPER_FIGURES)
