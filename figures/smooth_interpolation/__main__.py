"""`python -m figures.smooth_interpolation` draws from records."""

from common.command_line import exit_status

if __name__ == "__main__":
    with exit_status("figures.smooth_interpolation", goes_on=False):  # also while the rest is imported
        from figures import drawing
        from figures.smooth_interpolation import GALLERY

        drawing.main(GALLERY)
