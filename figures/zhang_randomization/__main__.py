"""`python -m figures.zhang_randomization` draws from records."""

from common.command_line import exit_status

if __name__ == "__main__":
    with exit_status("figures.zhang_randomization", goes_on=False):  # also while the rest is imported
        from figures import drawing
        from figures.zhang_randomization import GALLERY

        drawing.main(GALLERY)
