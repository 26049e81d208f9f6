"""`python -m figures.snapp_shamir` draws from records."""

from figures import drawing
from figures.snapp_shamir import GALLERY

if __name__ == "__main__":
    drawing.main(GALLERY)
