"""`python -m figures.somepalli_boundaries` draws from records."""

from common.command_line import exit_status

if __name__ == "__main__":
    with exit_status("figures.somepalli_boundaries", goes_on=False):  # also while the rest is imported
        from figures import drawing
        from figures.somepalli_boundaries import GALLERY

        drawing.main(GALLERY)
