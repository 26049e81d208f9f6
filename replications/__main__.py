"""`python -m replications`: the papers, and how to run one."""

from common.study.command_line import exit_status
from common.study.runs import load_claims, load_study, study_names


def main() -> None:
    """Prints each paper with its figures and a first command."""
    for name in study_names():
        title = load_claims(name).TITLE
        figures = load_study(name).figures
        print(f"{title}\n  figures: {', '.join(figures)}")
        print(f"  python -m replications.{name} --figure={figures[0]} --scale=smoke\n")
    print("--help after a command shows its flags, --dry_run what it would run and for how long.")


if __name__ == "__main__":
    with exit_status("replications", goes_on=False):
        main()
