"""`python -m figures.somepalli_boundaries` draws from records."""

from common import interruption

if __name__ == "__main__":
    interruption.listen("figures.somepalli_boundaries", goes_on=False)  # also while the rest is imported

    from figures import drawing
    from figures.somepalli_boundaries.gallery import GALLERY

    drawing.main(GALLERY)
