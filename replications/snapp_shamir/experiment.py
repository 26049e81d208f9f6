"""One run, top to bottom: streams, data, (donors,) pairs, measurements, records.

Pairs are trained in groups that fit the devices. A finished group leaves one sealed folder per pair in the
run's `work/` folder, an unfinished one its checkpoints with the rows measured so far; the chief merges the
pairs of all workers when all are there.
"""

import contextlib
import dataclasses
import functools
import shutil
import sys
import time

import numpy as np
import tensorflow as tf

from common.caching import keep_latest
from common.cluster import current_worker
from common.distribution import ensemble_devices
from common.streams import Streams
from common.study import interruption
from common.study.checkpoints import Checkpoints
from common.study.files import (
    check_sealed,
    is_sound,
    read_arrays,
    read_rows,
    sealing,
    write_arrays,
    write_rows,
)
from common.study.progress import Progress
from common.study.run_folders import RunFolder
from common.study.runs import run_folder
from common.study.setting import without
from replications.snapp_shamir.data import example_stream
from replications.snapp_shamir.engine import (
    MAX_BLOCK_STEPS,
    Ensemble,
    EnsembleMember,
    pair_members,
    tile_size,
)
from replications.snapp_shamir.measure import Evaluation, summary_rows, table_row  # noqa: F401
from replications.snapp_shamir.models import build, initial_weights
from replications.snapp_shamir.settings import Settings
from replications.snapp_shamir.sizes import fills_gpu, num_parameters

# Consecutive runs that differ in these settings alone share compiled programs.
UNCOMPILED = ("shuffle_log2", "init", "learning_rate", "warm_start", "warm_start_learning_rate", "seed")
UNCOMPILED += ("examples_log2", "pairs", "evaluation_log2", "evaluate_every_log2")
_CHECKPOINT_SECONDS = 15
# Figures 3, 4, 7 and 9 show weights of the models up to this size; the quadratic model's are 2.2 MB each.
_MAX_SAVED_PARAMETERS = 10_000


@dataclasses.dataclass
class RunState:
    """What the steps of one run share; `index` is its place among those that are trained with it."""

    settings: Settings
    folder: RunFolder
    writer: tf.summary.SummaryWriter | None
    index: int = 0

    @property
    def streams(self):
        """The run's random streams."""
        return Streams(self.settings.seed)

    @property
    def stream(self):
        """The run's examples."""
        return example_stream(self.settings.data, self.streams)

    @property
    def evaluation(self):
        """What measures a pair."""
        compiled, settings = without(self.settings, UNCOMPILED), self.settings
        return _evaluation(
            dataclasses.replace(compiled, seed=settings.seed, evaluation_log2=settings.evaluation_log2)
        )


@dataclasses.dataclass
class Together:
    """Runs that one ensemble trains: mostly one, on a GPU several that differ in window or weights."""

    runs: list[RunState]
    devices: tuple[str, ...]
    tile: int
    progress: Progress

    @property
    def settings(self):
        """What the runs share, and the first one's window and initialization."""
        return self.runs[0].settings

    @property
    def unfinished(self):
        """The runs that are not finished; the others are trained along where they belong to a group."""
        return [run for run in self.runs if not run.folder.finished]

    @property
    def ensemble(self):
        """What trains the models."""
        return _ensemble(without(self.settings, UNCOMPILED), self.devices, self.tile, len(self.runs) > 1)

    def stops(self):
        """Steps after which the models are measured: powers of two on the way, and the end."""
        settings, last = self.settings, self.settings.num_steps
        if settings.evaluate_every_log2 is None:
            return [last]
        first = 2**settings.evaluate_every_log2 // settings.batch_size
        return [first << i for i in range((last // first).bit_length())]

    @contextlib.contextmanager
    def timed(self, name):
        """Adds each run's share of the duration of the block, in seconds, to its record's times."""
        started = time.monotonic()
        yield
        for run in self.unfinished:
            times = run.folder.record["times"]
            times[name] = times.get(name, 0.0) + (time.monotonic() - started) / len(self.unfinished)


@keep_latest
def _evaluation(settings):
    streams = Streams(settings.seed)
    return Evaluation(settings, example_stream(settings.data, streams), streams)


@keep_latest
def _ensemble(settings, devices, tile, windows_differ):
    return Ensemble(settings, devices, tile, windows_differ)


def run(study, settings, options, label=""):
    """Trains and measures one setting, or goes on with it; see `runs.Study.experiment`."""
    run_together(study, [settings], options, label)


def run_together(study, chosen, options, label=""):
    """Trains settings that differ in `Study.trains_together` alone as one ensemble, and measures each.

    Args:
        study: `runs.Study`.
        chosen: Resolved settings; the same ones, in the same order, go on with them.
        options: `command_line.RunOptions`.
        label: Words that name them in the progress line.
    """
    worker, settings = current_worker(options.strategy), chosen[0]
    devices = ensemble_devices(options.strategy, options.device, fills_gpu(settings))
    with contextlib.ExitStack() as stack:
        folders = [
            stack.enter_context(run_folder(study, one, options.out_dir, worker.index)) for one in chosen
        ]
        if all(folder.finished for folder in folders):
            return
        pairs = worker.share(range(settings.pairs))
        # From the largest share, so that all workers find one layout in the record.
        tile = tile_size(settings, devices, 2 * len(chosen) * -(-settings.pairs // worker.count))
        runs = [_started(*one, options) for one in zip(chosen, folders, range(len(chosen)), strict=True)]
        together = Together(runs, tuple(devices), tile, _progress(label, chosen, pairs))
        layout = {"devices": _kinds(devices), "tile": tile, "workers": worker.count}
        if len(chosen) > 1:
            layout["together"] = [folder.path.name for folder in folders]
        for one in together.unfinished:
            one.folder.start(layout)
        try:
            # What has no device of its own stays off the GPUs, if the models do.
            with interruption.deferred(), tf.device(devices[0]):
                _make(together, pairs, worker)
        except Exception as error:
            for one in together.unfinished:
                one.folder.fail(error)
            raise
        finally:
            together.progress.close()


def network(settings):
    """Returns one Keras model of resolved settings; see `runs.Study.experiment`."""
    return build(settings)


def _started(settings, folder, index, options):
    writer = None
    if options.tensorboard and not folder.finished:
        writer = tf.summary.create_file_writer(str(folder.path / "tensorboard"))
    return RunState(settings, folder, writer, index)


def _kinds(devices):
    return [device.strip("/").split(":")[0] for device in devices]


def _progress(label, chosen, pairs):
    models = (3 if chosen[0].warm_start else 2) * len(pairs) * len(chosen)
    return Progress(label, models * chosen[0].num_steps * chosen[0].batch_size, "examples")


def _make(together, pairs, worker):
    """Trains and measures this worker's pairs of all runs; the chief merges those of all workers."""
    donors = _train_donors(together, pairs) if together.settings.warm_start else None
    for group in _groups(together, pairs, _pair_folder, 2):
        _load_pairs(together, group, donors)
        measure = functools.partial(_measure, together, group)
        rows = _train(together, group, 2 * len(group), "pairs", together.stops(), measure)
        _keep_pairs(together, group, rows)
    if not worker.chief:
        print(f"worker {worker.index} of {worker.count}: pairs {pairs} are done, the chief merges them")
        return
    for run in together.unfinished:
        _wait_for_pairs(run)
        _finish(run)


def _groups(together, pairs, folder_of, models):
    """The groups of (run, pair) that are trained at once, and of which one is not done.

    Args:
        together: `Together`.
        pairs: Pairs of this worker.
        folder_of: Function (run, pair) -> the folder that a finished one leaves.
        models: How many models of a pair are trained.
    """
    settings = together.settings
    units = [(run, pair) for run in together.runs for pair in pairs]
    todo = [not (run.folder.finished or _is_done(folder_of(run, pair))) for run, pair in units]
    together.progress.skip(models * todo.count(False) * settings.num_steps * settings.batch_size)
    size = max(1, together.ensemble.num_slots // models) if any(todo) else 1
    starts = [i for i in range(0, len(units), size) if any(todo[i : i + size])]
    return [units[i : i + size] for i in starts]


def _load_pairs(together, group, donors):
    """Loads both models of each pair; with donors they start where theirs ended."""
    settings, members = together.settings, []
    for run, pair in group:
        starts = donors and {pair: donors[run.index, pair]}
        members += pair_members(run.settings, run.streams, [pair], starts)
    rate = settings.warm_start_learning_rate if settings.warm_start else settings.learning_rate
    together.ensemble.load(members, together.runs[0].stream, rate)


def _measure(together, group, step):
    """Returns the rows of each pair of a loaded group; with several runs, each has its run's index."""
    examples, weights, rows = step * together.settings.batch_size, together.ensemble.weights(), []
    for i, (run, pair) in enumerate(group):
        found = run.evaluation.rows(*weights[2 * i : 2 * i + 2], pair, examples)
        _write_scalars(run, found)
        rows += [row | {"run": run.index} for row in found] if run.index else found
    return rows


def _keep_pairs(together, group, rows):
    """Leaves a folder a pair, with its rows and weights."""
    weights = together.ensemble.weights()
    for i, (run, pair) in enumerate(group):
        if run.folder.finished:
            continue
        own = [row for row in rows if (row.get("run", 0), row["pair"]) == (run.index, pair)]
        own = [{name: value for name, value in row.items() if name != "run"} for row in own]
        with sealing(_pair_folder(run, pair)) as folder:
            write_rows(folder / "rows.jsonl", own)
            write_arrays(folder / "arrays.npz", _stacked(weights[2 * i : 2 * i + 2]))


def _train_donors(together, pairs):
    """Trains one donor a pair on an independent sequence (section 6, "warm starting")."""
    settings = together.settings
    for group in _groups(together, pairs, _donor_folder, 1):
        members = [
            EnsembleMember(
                pair,
                0,
                run.streams.key("donor_data", pair),
                run.streams.key("donor_order", pair),
                initial_weights(run.settings, run.streams, pair, 0),
            )
            for run, pair in group
        ]
        together.ensemble.load(members, together.runs[0].stream, settings.learning_rate)
        _train(together, group, len(members), "donors", [settings.num_steps])
        for (run, pair), weights in zip(group, together.ensemble.weights(), strict=True):
            if not run.folder.finished:
                with sealing(_donor_folder(run, pair)) as folder:
                    write_arrays(folder / "arrays.npz", _stacked([weights]))
    donors = {}
    for run in together.unfinished:
        for pair in pairs:
            arrays = read_arrays(_donor_folder(run, pair) / "arrays.npz")
            donors[run.index, pair] = [arrays[f"weights_{i}"][0] for i in range(len(arrays))]
    return donors


def _train(together, group, num_members, name, stops, measure=None):
    """Trains the loaded members of a group, from their last checkpoint if there is one, to the last stop.

    Returns:
        The rows that `measure(step)` returned at the stops.
    """
    ensemble = together.ensemble
    run, pair = next((run, pair) for run, pair in group if not run.folder.finished)
    checkpoints = Checkpoints(ensemble.checkpoint(), run.folder.work / f"{name}-{pair:05d}-checkpoints")
    restored = checkpoints.restore()
    rows = restored.rows if restored else []
    examples = num_members * together.settings.batch_size
    together.progress.skip(ensemble.step * examples)
    saved = time.monotonic()
    while ensemble.step < stops[-1]:
        interruption.check()
        stop = next(stop for stop in stops if stop > ensemble.step)
        steps = min(MAX_BLOCK_STEPS, stop - ensemble.step)
        with together.timed("train_seconds" if ensemble.is_compiled(steps) else "compile_seconds"):
            ensemble.advance(steps)
        together.progress.add(steps * examples)
        if measure and ensemble.step == stop:
            with together.timed("evaluate_seconds"):
                rows += measure(ensemble.step)
        if ensemble.step == stop or time.monotonic() - saved > _CHECKPOINT_SECONDS:
            checkpoints.keep(ensemble.step, rows)
            for one in together.unfinished:
                one.folder.save()
            saved = time.monotonic()
    return rows


def _pair_folder(run, pair):
    return run.folder.work / f"pair-{pair:05d}"


def _donor_folder(run, pair):
    return run.folder.work / f"donor-{pair:05d}"


def _is_done(folder):
    """Whether a pair or donor is trained; a damaged one is trained again, or restored from its checkpoint."""
    if folder.exists() and not is_sound(folder):
        print(f"{folder} is damaged and will be made again", file=sys.stderr)
        shutil.rmtree(folder)
    return folder.exists()


def _stacked(models):
    """Names each weight of one or two models, stacked over the models."""
    return {f"weights_{i}": np.stack(arrays) for i, arrays in enumerate(zip(*models, strict=True))}


def _write_scalars(run, rows):
    if run.writer is None:
        return
    with run.writer.as_default():
        for row in rows:
            if row["statistic"] == "pair":
                tf.summary.scalar(f"{row['metric']}/pair_{row['pair']}", row["value"], step=row["examples"])
    run.writer.flush()


def _wait_for_pairs(run):
    """Waits until the other workers have left their pairs in the shared folder."""
    shown = time.monotonic()
    while missing := [p for p in range(run.settings.pairs) if not _pair_folder(run, p).exists()]:
        interruption.sleep(0.2)
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            print(f"waiting for pairs {missing} of other workers", flush=True)


def _finish(run):
    """Merges the pairs, adds the summary rows and writes the results."""
    folders = [_pair_folder(run, pair) for pair in range(run.settings.pairs)]
    for folder in folders:
        check_sealed(folder)
    rows = [row for folder in folders for row in read_rows(folder / "rows.jsonl")]
    rows.sort(key=lambda row: row["examples"])
    arrays = {"theta": run.stream.theta}
    if num_parameters(run.settings) <= _MAX_SAVED_PARAMETERS:
        weights = [read_arrays(folder / "arrays.npz") for folder in folders]
        arrays |= {name: np.stack([pair[name] for pair in weights]) for name in weights[0]}
    rows += summary_rows(rows)
    diverged = any(row["metric"] == "diverged" for row in rows)
    run.folder.finish("diverged" if diverged else "done", rows, arrays)
