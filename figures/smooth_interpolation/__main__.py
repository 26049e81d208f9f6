"""`python -m figures.smooth_interpolation` draws from records."""

from figures import drawing
from figures.smooth_interpolation import GALLERY

if __name__ == "__main__":
    drawing.main(GALLERY)
