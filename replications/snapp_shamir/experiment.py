"""One run, top to bottom: streams, data, (donors,) pairs, measurements, records.

Pairs are trained in groups that fit the devices. A finished group leaves one sealed folder per pair in the
run's `work/` folder, an unfinished one its checkpoints with the rows measured so far; the chief merges the
pairs of all workers when all are there.
"""

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
from replications.snapp_shamir.models import initial_weights
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
    """What the steps of one run share."""

    settings: Settings
    folder: RunFolder
    devices: tuple[str, ...]
    tile: int
    progress: Progress
    writer: tf.summary.SummaryWriter | None

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

    @property
    def ensemble(self):
        """What trains the models."""
        return _ensemble(without(self.settings, UNCOMPILED), self.devices, self.tile)

    def stops(self):
        """Steps after which the models are measured: powers of two on the way, and the end."""
        settings, last = self.settings, self.settings.num_steps
        if settings.evaluate_every_log2 is None:
            return [last]
        first = 2**settings.evaluate_every_log2 // settings.batch_size
        return [first << i for i in range((last // first).bit_length())]


@keep_latest
def _evaluation(settings):
    streams = Streams(settings.seed)
    return Evaluation(settings, example_stream(settings.data, streams), streams)


@keep_latest
def _ensemble(settings, devices, tile):
    return Ensemble(settings, devices, tile)


def run(study, settings, options, label=""):
    """Trains and measures one setting, or goes on with it; see `runs.Study.experiment`."""
    worker = current_worker(options.strategy)
    devices = ensemble_devices(options.strategy, options.device, fills_gpu(settings))
    with run_folder(study, settings, options.out_dir, worker.index) as folder:
        if folder.finished:
            return
        pairs = worker.share(range(settings.pairs))
        # From the largest share, so that all workers find one layout in the record.
        tile = tile_size(settings, devices, 2 * -(-settings.pairs // worker.count))
        kinds = [device.strip("/").split(":")[0] for device in devices]
        folder.start({"devices": kinds, "tile": tile, "workers": worker.count})
        members = (3 if settings.warm_start else 2) * len(pairs)
        progress = Progress(label, members * settings.num_steps * settings.batch_size, "examples")
        writer = None
        if options.tensorboard:
            writer = tf.summary.create_file_writer(str(folder.path / "tensorboard"))
        state = RunState(settings, folder, tuple(devices), tile, progress, writer)
        try:
            with interruption.deferred():
                donors = _train_donors(state, pairs) if settings.warm_start else None
                for group in _groups(state, pairs, _pair_folder, 2):
                    _load_pairs(state, group, donors)
                    measure = functools.partial(_measure, state, group)
                    rows = _train(state, 2 * len(group), f"pairs-{group[0]:05d}", state.stops(), measure)
                    _keep_pairs(state, group, rows)
                if worker.chief:
                    _wait_for_pairs(state)
                    _finish(state)
                else:
                    print(
                        f"worker {worker.index} of {worker.count}: pairs {pairs} are done, the chief merges "
                        "them"
                    )
        except Exception as error:
            folder.fail(error)
            raise
        finally:
            progress.close()


def _groups(state, pairs, folder_of, models):
    """The groups of pairs that are trained together, and of which one is not done.

    Args:
        state: RunState.
        pairs: Pairs of this worker.
        folder_of: Function (state, pair) -> the folder that a finished one leaves.
        models: How many models of a pair are trained.
    """
    settings = state.settings
    todo = {pair for pair in pairs if not _is_done(folder_of(state, pair))}
    state.progress.skip(models * (len(pairs) - len(todo)) * settings.num_steps * settings.batch_size)
    if not todo:
        return []
    size = state.ensemble.num_slots // models
    groups = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    return [group for group in groups if todo & set(group)]


def _load_pairs(state, group, donors):
    """Loads both models of each pair; with donors they start where theirs ended."""
    settings = state.settings
    rate = settings.warm_start_learning_rate if settings.warm_start else settings.learning_rate
    members = pair_members(settings, state.streams, group, donors)
    state.ensemble.load(members, state.stream, settings.shuffle_log2, rate)


def _measure(state, group, step):
    """Returns the rows of each pair of a loaded group."""
    examples, weights, rows = step * state.settings.batch_size, state.ensemble.weights(), []
    for i, pair in enumerate(group):
        rows += state.evaluation.rows(*weights[2 * i : 2 * i + 2], pair, examples)
    _write_scalars(state, rows)
    return rows


def _keep_pairs(state, group, rows):
    """Leaves a folder a pair, with its rows and weights."""
    weights = state.ensemble.weights()
    for i, pair in enumerate(group):
        with sealing(_pair_folder(state, pair)) as folder:
            write_rows(folder / "rows.jsonl", [row for row in rows if row["pair"] == pair])
            write_arrays(folder / "arrays.npz", _stacked(weights[2 * i : 2 * i + 2]))


def _train_donors(state, pairs):
    """Trains one donor a pair on an independent sequence (section 6, "warm starting")."""
    settings, streams = state.settings, state.streams
    for group in _groups(state, pairs, _donor_folder, 1):
        members = [
            EnsembleMember(
                pair,
                0,
                streams.key("donor_data", pair),
                streams.key("donor_order", pair),
                initial_weights(settings, streams, pair, 0),
            )
            for pair in group
        ]
        state.ensemble.load(members, state.stream, 0, settings.learning_rate)
        _train(state, len(members), f"donors-{group[0]:05d}", [settings.num_steps])
        for pair, weights in zip(group, state.ensemble.weights(), strict=True):
            with sealing(_donor_folder(state, pair)) as folder:
                write_arrays(folder / "arrays.npz", _stacked([weights]))
    donors = {}
    for pair in pairs:
        arrays = read_arrays(_donor_folder(state, pair) / "arrays.npz")
        donors[pair] = [arrays[f"weights_{i}"][0] for i in range(len(arrays))]
    return donors


def _train(state, num_members, name, stops, measure=None):
    """Trains the loaded members, from their last checkpoint if there is one, to the last stop.

    Returns:
        The rows that `measure(step)` returned at the stops.
    """
    ensemble = state.ensemble
    checkpoints = Checkpoints(ensemble.checkpoint(), state.folder.work / f"{name}-checkpoints")
    restored = checkpoints.restore()
    rows = restored.rows if restored else []
    examples = num_members * state.settings.batch_size
    state.progress.skip(ensemble.step * examples)
    saved = time.monotonic()
    while ensemble.step < stops[-1]:
        interruption.check()
        stop = next(stop for stop in stops if stop > ensemble.step)
        steps = min(MAX_BLOCK_STEPS, stop - ensemble.step)
        with state.folder.timed("train_seconds" if ensemble.is_compiled(steps) else "compile_seconds"):
            ensemble.advance(steps)
        state.progress.add(steps * examples)
        if measure and ensemble.step == stop:
            with state.folder.timed("evaluate_seconds"):
                rows += measure(ensemble.step)
        if ensemble.step == stop or time.monotonic() - saved > _CHECKPOINT_SECONDS:
            checkpoints.keep(ensemble.step, rows)
            state.folder.save()
            saved = time.monotonic()
    return rows


def _pair_folder(state, pair):
    return state.folder.work / f"pair-{pair:05d}"


def _donor_folder(state, pair):
    return state.folder.work / f"donor-{pair:05d}"


def _is_done(folder):
    """Whether a pair or donor is trained; a damaged one is trained again, or restored from its checkpoint."""
    if folder.exists() and not is_sound(folder):
        print(f"{folder} is damaged and will be made again", file=sys.stderr)
        shutil.rmtree(folder)
    return folder.exists()


def _stacked(models):
    """Names each weight of one or two models, stacked over the models."""
    return {f"weights_{i}": np.stack(arrays) for i, arrays in enumerate(zip(*models, strict=True))}


def _write_scalars(state, rows):
    if state.writer is None:
        return
    with state.writer.as_default():
        for row in rows:
            if row["statistic"] == "pair":
                tf.summary.scalar(f"{row['metric']}/pair_{row['pair']}", row["value"], step=row["examples"])
    state.writer.flush()


def _wait_for_pairs(state):
    """Waits until the other workers have left their pairs in the shared folder."""
    shown = time.monotonic()
    while missing := [p for p in range(state.settings.pairs) if not _pair_folder(state, p).exists()]:
        interruption.sleep(0.2)
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            print(f"waiting for pairs {missing} of other workers", flush=True)


def _finish(state):
    """Merges the pairs, adds the summary rows and writes the results."""
    folders = [_pair_folder(state, pair) for pair in range(state.settings.pairs)]
    for folder in folders:
        check_sealed(folder)
    rows = [row for folder in folders for row in read_rows(folder / "rows.jsonl")]
    rows.sort(key=lambda row: row["examples"])
    arrays = {"theta": state.stream.theta}
    if num_parameters(state.settings) <= _MAX_SAVED_PARAMETERS:
        weights = [read_arrays(folder / "arrays.npz") for folder in folders]
        arrays |= {name: np.stack([pair[name] for pair in weights]) for name in weights[0]}
    rows += summary_rows(rows)
    diverged = any(row["metric"] == "diverged" for row in rows)
    state.folder.finish("diverged" if diverged else "done", rows, arrays)
