"""`python -m figures.snapp_shamir` draws from records."""

from common.command_line import exit_status

if __name__ == "__main__":
    with exit_status("figures.snapp_shamir", goes_on=False):  # also while the rest is imported
        from figures import drawing
        from figures.snapp_shamir import GALLERY

        drawing.main(GALLERY)
