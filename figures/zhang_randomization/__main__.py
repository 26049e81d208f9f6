"""`python -m figures.zhang_randomization` draws from records."""

from figures import drawing
from figures.zhang_randomization import GALLERY

if __name__ == "__main__":
    drawing.main(GALLERY)
