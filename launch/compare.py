"""`python -m launch.compare --models=a.keras,b.keras --data=images.npz`: how far saved models disagree.

What a team asks before a retrained model takes the place of the one in use: accuracy, churn, prediction
difference, reproducibility of decision boundaries, and how sharply each model bends around examples. A table
on the terminal, a page, one line of JSON on request, and exit status 1 where a limit is not kept.
"""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("compare", goes_on=False)  # also while the rest is imported

import dataclasses
import json
import math
import pathlib
import sys

from absl import flags

from common import saved_models
from common.arrays import OUTPUTS
from common.data.datasets import DATASETS
from common.disagreement import MEASURES
from common.errors import UserError
from common.input_scaling import SCALINGS
from common.study.command_line import exit_status, parse_flags
from common.study.files import replacing
from common.study.folders import check_file_to_make, check_folder
from common.study.progress import Progress
from common.study.startup import check_backend, import_quietly
from launch import compare_data
from replications.somepalli_boundaries.published import NUM_TEST

_USAGE = (
    "python -m launch.compare --models=A.keras,B.keras --data=FILE.npz|NAME [--flag=value ...]\n"
    "The first model is the one in use. Exit status 1: a limit of --fail_above or --fail_below is not kept."
)


@dataclasses.dataclass(frozen=True)
class Limit:
    """A limit on a measure: of models, each of them must keep it.

    Args:
        measure: A name in MEASURES.
        bound: The value that is still allowed.
        above: Whether values above it fail, else those below it.
    """

    measure: str
    bound: float
    above: bool

    def broken(self, comparison):
        """Returns a line for each value that does not keep the limit; not measured counts as not kept."""
        words = "above" if self.above else "below"
        values = comparison.values(self.measure)
        found = []
        for model, value in values.items():
            kept = value <= self.bound if self.above else value >= self.bound
            if not kept:
                of_model = f" of {model}" if model else ""
                found.append(f"{self.measure}{of_model}: {value:.4g} is {words} {self.bound:g}")
        of_pairs = MEASURES[self.measure].of_pairs
        each = comparison.of_pairs.values() if of_pairs else comparison.of_models
        missing = sum(self.measure not in measures for measures in each)
        if missing:
            of = f" of {missing} of {len(each)} {'pairs' if of_pairs else 'models'}" * (missing < len(each))
            found.append(
                f"{self.measure}: was not measured{of}, the limit {self.bound:g} is not known to be kept"
            )
        return found


def _define_flags(flag_values):
    define = {"flag_values": flag_values}
    flags.DEFINE_list(
        "models", None, "Files of saved Keras models, two or more; first the one in use.", **define
    )
    flags.DEFINE_string(
        "data",
        "",
        "Examples: an .npz file with x as the models take it and y, the class of each; or test images of "
        f"{', '.join(DATASETS)}.",
        **define,
    )
    flags.DEFINE_string("data_dir", None, "Folder of the data sets of tensorflow-datasets.", **define)
    flags.DEFINE_list(
        "input_scaling",
        None,
        "Pixels that the models take: 0-255, 0-1, or standardized by the channels' mean and deviation; for "
        "all models, or one for each. Of a data set it is required where a model's first layers do not say "
        "it; with it the images of a file are scaled, which the models else get as they are.",
        **define,
    )
    flags.DEFINE_enum("outputs", OUTPUTS[0], OUTPUTS, "What the models give; auto sees it.", **define)
    flags.DEFINE_integer("num_examples", None, "Examples, chosen at random; default: all.", 2, **define)
    flags.DEFINE_integer(
        "num_triplets",
        100,
        "Planes through three examples; 0 leaves them out, the paper has 500.",
        0,
        **define,
    )
    flags.DEFINE_enum(
        "triplets",
        "ours",
        ("ours", "released"),
        "Examples of these planes: drawn by NumPy, or as in the official code.",
        **define,
    )
    flags.DEFINE_integer("resolution", 50, "Points along each axis of these planes.", 2, **define)
    flags.DEFINE_integer("num_margins", 100, "Examples whose margins are measured; 0: none.", 0, **define)
    flags.DEFINE_integer("num_gradients", 1000, "Examples whose Jacobian norms are; 0: none.", 0, **define)
    flags.DEFINE_list("triplet", None, "Numbers of the three examples of the plane that is drawn.", **define)
    flags.DEFINE_integer("picture_resolution", 200, "Points along each axis of this plane.", 2, **define)
    flags.DEFINE_integer(
        "batch_size",
        None,
        "Examples at a time; default: 500, fewer where they are larger than 32 x 32 x 3 numbers.",
        1,
        **define,
    )
    flags.DEFINE_integer("data_seed", 1, "Seed that chooses examples.", 0, **define)
    flags.DEFINE_string("out", "comparison.html", "Page, an .html file.", **define)
    flags.DEFINE_bool("json", False, "Prints everything as one JSON object, on the last line.", **define)
    limits = "MEASURE:NUMBER, several separated by commas"
    flags.DEFINE_list("fail_above", None, f"Exit status 1 if a measure is above this: {limits}.", **define)
    flags.DEFINE_list("fail_below", None, f"Exit status 1 if a measure is below this: {limits}.", **define)


def _limits(flag_values):
    found = []
    for flag, above in (("fail_above", True), ("fail_below", False)):
        texts = flag_values[flag].value or []
        if not all(texts):
            raise UserError(f"--{flag}={','.join(texts)}: has an empty place")
        for text in texts:
            name, _, number = text.strip().partition(":")
            try:
                bound = float(number)
            except ValueError:
                bound = math.nan
            if not math.isfinite(bound):
                raise UserError(f"--{flag}={text}: must be a measure, a colon and a number, as churn:0.05")
            if name not in MEASURES:
                raise UserError(f"--{flag}={text}: no measure {name}; choose from {', '.join(MEASURES)}")
            found.append(Limit(name, bound, above))
    return found


def _check(flag_values):
    """Refuses bad input before TensorFlow is imported; returns limits, the triplet and a file's `Data`."""
    paths = flag_values.models or []
    if len(paths) < 2:
        raise UserError(f"--models={','.join(paths)}: must be two files or more, separated by commas")
    if not all(paths):
        raise UserError(f"--models={','.join(paths)}: has an empty place")
    scalings = flag_values.input_scaling
    if scalings is not None and (len(scalings) not in (1, len(paths)) or not set(scalings) <= set(SCALINGS)):
        raise UserError(
            f"--input_scaling={','.join(scalings)}: must be one of {', '.join(SCALINGS)}, or one of them for "
            f"each of {len(paths)} models"
        )
    compare_data.check_name(flag_values.data)
    _check_planes(flag_values)
    if pathlib.Path(flag_values.out).suffix != ".html":
        raise UserError(f"--out={flag_values.out}: must be an .html file")
    check_file_to_make("out", flag_values.out)
    limits, triplet = _limits(flag_values), _triplet(flag_values)
    check_backend()
    data = None
    if compare_data.is_file(flag_values.data):
        data = _read_file(flag_values, triplet)
    else:
        _check_data_set(flag_values, triplet)
    for path in paths:  # last: it takes the longest
        saved_models.check_file(path)
    return limits, triplet, data


def _check_planes(flag_values):
    """Refuses one plane, and flags of planes where there are none."""
    if flag_values.num_triplets == 1:
        raise UserError("--num_triplets=1: must be 0, or 2 and more")
    idle = ["resolution", "triplets"] + ["picture_resolution"] * (flag_values.triplet is None)
    for name in idle:
        if flag_values.num_triplets == 0 and flag_values[name].present:
            raise UserError(f"--{name}: has no effect with --num_triplets=0")


def _read_file(flag_values, triplet):
    """Reads a file of arrays; refuses flags that are about data sets."""
    name, scalings = flag_values.data, flag_values.input_scaling
    if flag_values.data_dir is not None:
        raise UserError(f"--data_dir: {name} is a file; the folder is that of data sets")
    if flag_values.triplets != "ours":
        raise UserError(f"--triplets={flag_values.triplets}: is drawn from the test images of CIFAR-10")
    if "standardized" in (scalings or ()):
        raise UserError(
            "--input_scaling=standardized: a file has no mean and deviation; store x as the models take it, "
            "without the flag"
        )
    data = compare_data.read_file(
        name, flag_values.num_examples, flag_values.data_seed, as_pixels=scalings is not None
    )
    if triplet:
        data.places(triplet)
    return data


def _check_data_set(flag_values, triplet):
    """Refuses flags that ask for what a data set does not have."""
    if (data_dir := flag_values.data_dir) is not None:
        check_folder("data_dir", data_dir, "name the folder that holds the data sets")
        if not DATASETS[flag_values.data].from_files:
            raise UserError(f"--data_dir: {flag_values.data} is not read from files")
    num_test, num_examples = DATASETS[flag_values.data].num_test, flag_values.num_examples
    if num_examples is not None and num_examples > num_test:
        raise UserError(f"--num_examples={num_examples}: must be from 2 to {num_test}")
    if flag_values.triplets == "released" and num_examples not in (None, NUM_TEST):
        raise UserError(f"--triplets=released: is drawn from all {NUM_TEST:,} test images; no --num_examples")
    for number in triplet or ():
        if not 0 <= number < num_test:
            raise UserError(f"--triplet: image {number} is not among the test images, 0 to {num_test - 1:,}")


def _triplet(flag_values):
    if flag_values.triplet is None:
        return None
    text = ",".join(flag_values.triplet)
    try:
        triplet = tuple(int(number) for number in flag_values.triplet)
    except ValueError:
        triplet = ()
    if len(triplet) != 3:
        raise UserError(f"--triplet={text}: must be the numbers of three examples")
    if len(set(triplet)) != 3:
        raise UserError(
            f"--triplet={text}: must be three different examples, since equal ones determine no plane"
        )
    return triplet


class _Watched(Progress):
    """Progress that also obeys signals."""

    def add(self, amount):
        super().add(amount)
        interruption.check()


def _names(paths):
    """The files' names, or their paths where two are called alike."""
    names = [pathlib.Path(path).name for path in paths]
    if len(set(names)) == len(names):
        return names
    if len(set(paths)) == len(paths):
        return paths
    return [f"{path} ({place})" for place, path in enumerate(paths, start=1)]


def load_models(paths, images):
    """Loads models and checks that they can be compared: a list of Keras models.

    Args:
        paths: Their files.
        images: Whether they must take images.

    Raises:
        UserError: As `saved_models.read` and `saved_models.check_alike` do.
    """
    models = [saved_models.read(path, images) for path in paths]
    saved_models.check_alike(models, paths)
    return models


def _compare(flag_values, triplet, data):
    """Loads and measures: (comparison, data, notes)."""
    import_quietly("tensorflow")
    from common.comparison import Options, compare
    from replications.somepalli_boundaries.triplets import score_triplets

    paths = flag_values.models
    models = load_models(paths, images=data is None)
    if data is None:
        folder = flag_values.data_dir
        data = compare_data.load_images(
            flag_values.data, folder, flag_values.num_examples, flag_values.data_seed, flag_values.triplets
        )
    saved_models.check_fits(models[0], data.name, data.x.shape[1:], data.num_classes)
    given = flag_values.input_scaling or [None]
    prepared = compare_data.prepare(models, paths, data, given * len(paths) if len(given) == 1 else given)
    triplets = None
    if flag_values.triplets == "released":
        triplets = score_triplets("released", data.y, flag_values.num_triplets, flag_values.data_seed)
    options = Options(
        outputs=flag_values.outputs,
        num_planes=flag_values.num_triplets,
        resolution=flag_values.resolution,
        num_margins=flag_values.num_margins,
        num_gradients=flag_values.num_gradients,
        picture_resolution=flag_values.picture_resolution,
        picture=data.places(triplet) if triplet else None,
        triplets=triplets,
        seed=flag_values.data_seed,
        batch_size=flag_values.batch_size,
    )
    try:
        found = compare(prepared.networks, prepared.x, data.y, _names(paths), options, _Watched)
    except ValueError as error:
        raise UserError(f"--models: {error}") from error
    taken = [f"{kind} ({name})" for kind, name in zip(found.outputs, found.names, strict=True)]
    if len(set(found.outputs)) == 1:
        taken = [found.outputs[0]]
    accuracies = [m["accuracy"].value for m in found.of_models] if data.y is not None else None
    notes = compare_data.notes(models, paths, data, prepared, accuracies, flag_values.batch_size)
    return found, data, [*notes, f"outputs taken as {', '.join(taken)}"]


def _run(flag_values, limits, triplet, data):
    with interruption.deferred():
        found, data, notes = _compare(flag_values, triplet, data)
        from launch import compare_page, compare_table

        broken = [line for limit in limits for line in limit.broken(found)]
        print(compare_table.text(found, data))
        for line in (*notes, *(f"left out: {line}" for line in found.left_out)):
            print(line)
        page = compare_page.page(found, data, flag_values.models, limits, broken, notes)
        with replacing(flag_values.out) as temporary:
            temporary.write_text(page, encoding="utf-8")
        print(f"page: {flag_values.out}")
    for line in broken:
        print(f"failed: {line}")
    if flag_values.json:
        print(json.dumps(_as_json(found, data, flag_values.models, broken), allow_nan=False))
    return bool(broken)


def _as_json(found, data, paths, broken):
    most = found.most_different()
    return {
        "files": list(paths),
        "data": data.title,
        **found.as_dict(),
        "most_different": [int(number) for number in data.numbers[most]],
        "failed": broken,
    }


def main(argv=None):
    """Runs the command line and exits with its status."""
    flag_values = flags.FlagValues()
    _define_flags(flag_values)
    with exit_status("compare", goes_on=False):
        parse_flags(flag_values, sys.argv if argv is None else argv, _USAGE)
        failed = _run(flag_values, *_check(flag_values))
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
