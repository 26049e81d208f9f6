"""`python -m launch.archive --records=results/runs --archive=results/reference`: packs finished runs as data.

Every finished run below `--records` becomes a line of `runs.csv`, a CSV of its rows, and those of its arrays
that a figure or a claim reads; see `common.study.archive`. Figures and the report read both forms alike.
"""

from common.study import interruption
from common.study.runs import Study, load_study, run_folder, study_names

if __name__ == "__main__":
    interruption.listen("archive")  # also while the rest is imported

import dataclasses
import json
import pathlib
import shutil
import sys

from absl import flags

from common.errors import UserError
from common.study import command_line
from common.study.archive import Archive
from common.study.folders import check_folder, check_folder_to_make
from common.study.run_folders import FINISHED, Run
from common.study.setting import completed

_USAGE = "python -m launch.archive --records=DIR --archive=DIR [--remove]"


def run_name(study: Study, settings: object, identifier: str) -> str:
    """Returns a readable name of a run, such as `single-activation=relu-shuffle_log2=20-seed=0-3fa9c1`.

    Args:
        study: Its paper.
        settings: Its resolved settings.
        identifier: Its id, the start of which makes the name unique.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(settings)}
    first, *others = study.named_by.split()
    shown = [str(getattr(settings, first))]
    for name in others:
        value = getattr(settings, name)
        if value is None or (value == defaults[name] and name != "seed"):
            continue
        shown.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return "-".join([*shown, identifier[:6]])


def pack(study: Study, folder: pathlib.Path, archive: Archive) -> bool:
    """Packs the run of a run folder, if it is finished; a suspect one keeps its mark.

    Returns:
        Whether it is now in the archive.

    Raises:
        UserError: The record is damaged, or was made by another version of the paper's settings.
    """
    try:
        values = json.loads((folder / "run.json").read_text())["settings"]
        settings = completed(study.settings, values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no record that can be packed ({error})") from None
    found = run_folder(study, settings, folder.parents[1])
    if found.path.name != folder.name or found.record["status"] not in FINISHED:
        return False  # another protocol version made it, or it is not finished
    run = Run(folder, found.record, study.earlier_names)
    arrays = [name for name in run.arrays if study.keeps_array(settings, name)]
    name = run_name(study, settings, folder.name)
    archive.add(name, folder.name, run, dataclasses.asdict(settings), arrays)
    return archive.holds(folder.name)


def _pack_all(records: pathlib.Path, target: pathlib.Path, remove: bool) -> None:
    packed = left = 0
    for name in study_names():
        study, archive = load_study(name), Archive(target / name)
        for path in sorted((records / name).glob("*/run.json")):
            interruption.check()
            if pack(study, path.parent, archive):
                packed += 1
                if remove and path.parent.is_symlink():
                    path.parent.unlink()
                elif remove:
                    shutil.rmtree(path.parent)
            else:
                left += 1
    print(f"{packed} runs are packed in {target}, {left} are not finished or of another protocol version")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits with its status."""
    flag_values = flags.FlagValues()
    flags.DEFINE_string("records", "results/runs", "Folder of the run folders.", flag_values=flag_values)
    flags.DEFINE_string("archive", None, "Folder of the packed records.", flag_values=flag_values)
    flags.DEFINE_bool(
        "remove", False, "Removes each run folder once its run is packed.", flag_values=flag_values
    )
    with command_line.exit_status("archive"):
        command_line.parse_flags(flag_values, sys.argv if argv is None else argv, _USAGE)
        records = pathlib.Path(flag_values.records)
        if not flag_values.archive:
            raise UserError("--archive: name the folder of the packed records")
        check_folder("records", flag_values.records, "name the folder of the runs")
        check_folder_to_make("archive", flag_values.archive)
        if not any((records / name).is_dir() for name in study_names()):
            raise UserError(f"--records={records}: holds no folder of {', '.join(study_names())}")
        with interruption.deferred():
            _pack_all(records, pathlib.Path(flag_values.archive), flag_values.remove)


if __name__ == "__main__":
    main()
