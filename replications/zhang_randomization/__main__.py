"""`python -m replications.zhang_randomization`: randomization tests of image classifiers."""

from common.command_line import exit_status

if __name__ == "__main__":
    with exit_status("zhang_randomization"):  # also while the rest is imported
        from common.program import main
        from replications.zhang_randomization.settings import REPLICATION

        main(REPLICATION)
