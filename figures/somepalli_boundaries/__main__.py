"""`python -m figures.somepalli_boundaries` draws from records."""

from figures import drawing
from figures.somepalli_boundaries import GALLERY

if __name__ == "__main__":
    drawing.main(GALLERY)
