import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from common.streams import Streams
from common.study.progress import Progress
from common.study.run_folders import RunFolder
from common.training import fit
from common.training.fit import Fit, StoppingRule
from common.training.run import OpenRun


class KilledError(Exception):
    pass


@pytest.fixture
def start(make_trainer, images, tmp_path):
    """Begins a run, or goes on with it, on a trainer of its own."""

    def start(rule, rate=0.05, progress=None, **arguments):
        return begin(make_trainer, images, tmp_path, rule, rate, progress, **arguments)

    return start


def begin(make_trainer, images, out_dir, rule, rate=0.05, progress=None, **arguments):
    trainer = make_trainer(rate=rate, batch_norm=True)
    trainer.load(images.images, images.labels, Streams(0))
    with RunFolder(out_dir, "toy", 1, {"name": "run"}) as folder:
        folder.start({})
        data = images.images, images.labels
        return Fit(trainer, rule, data, data, Streams(0), OpenRun(folder, progress), **arguments)


PLAN = StoppingRule(3, evaluate_every=1)


@pytest.fixture(scope="module")
def whole(make_trainer, images, tmp_path_factory):
    """A run of PLAN that nothing disturbs."""
    run = begin(make_trainer, images, tmp_path_factory.mktemp("whole"), PLAN)
    run.run()
    return run


def value(fit, metric, epoch):
    (found,) = [r["value"] for r in fit.rows if r["metric"] == metric and r["epoch"] == epoch]
    return found


def test_a_run_trains_all_epochs_and_measures_at_the_end(start):
    run = start(StoppingRule(3))
    assert run.run() == "done"
    assert run.trainer.step == 9 and run.batch_losses.shape == (9,)
    assert [r["step"] for r in run.rows if r["metric"] == "batch_loss"] == [3, 6, 9]
    assert value(run, "batch_loss", 2) == pytest.approx(run.batch_losses[3:6].mean())
    assert value(run, "batch_accuracy", 2) == pytest.approx(run._hits[3:6].sum() / 22)
    assert {r["epoch"] for r in run.rows if r["metric"] in ("train_loss", "test_accuracy")} == {3}
    assert value(run, "train_loss", 3) == run.trainer.evaluate(run._data["train"])[0]
    assert not [r for r in run.rows if r["metric"] == "fit"]


def test_the_test_set_is_measured_every_so_many_epochs_and_at_the_end(start):
    run = start(StoppingRule(5, evaluate_every=2))
    run.run()
    assert [r["epoch"] for r in run.rows if r["metric"] == "test_accuracy"] == [2, 4, 5]


def test_a_run_stops_after_the_epoch_that_fits_the_training_set(start):
    run = start(StoppingRule(200, target_accuracy=1.0))
    run.run()
    accuracies = [r["value"] for r in run.rows if r["metric"] == "train_accuracy"]
    assert accuracies[-1] == 1.0 and max(accuracies[:-1]) < 1.0
    assert 1 < len(accuracies) < 200
    assert value(run, "fit", len(accuracies)) == 1
    assert value(run, "test_accuracy", len(accuracies)) == 1.0


def test_a_run_that_meets_its_cap_is_censored(start):
    run = start(StoppingRule(2, target_loss=1e-6))
    assert run.run() == "done"
    assert value(run, "fit", 2) == 0


@pytest.mark.parametrize(
    ("targets", "loss", "accuracy", "reached"),
    [
        ({}, 0.0, 1.0, False),
        ({"target_accuracy": 0.98}, 9.0, 0.98, True),
        ({"target_accuracy": 0.98}, 0.0, 0.97, False),
        ({"target_loss": 0.1}, 0.1, 0.0, True),
        ({"target_loss": 0.1}, 0.2, 1.0, False),
        ({"target_loss": 0.1, "target_accuracy": 1.0}, 0.05, 0.9, False),
        ({"target_loss": 0.1}, np.nan, 0.1, False),
    ],
)
def test_targets(targets, loss, accuracy, reached):
    assert StoppingRule(1, **targets).reached(loss, accuracy) is reached


def test_a_target_that_is_met_exactly_is_met(start, images, monkeypatch):
    """9 of 10 in float32 is less than 0.9."""
    run = start(StoppingRule(3, target_accuracy=0.9))
    monkeypatch.setattr(run.trainer, "_evaluation", lambda *_: tf.constant([5.0, 9.0]))
    data = dataclasses.replace(run._data["train"], count=10)
    assert run.rule.reached(*run.trainer.evaluate(data))


@pytest.mark.parametrize("seconds", [0.0, 1e9])  # one step at a time; more and more
def test_a_diverged_run_is_a_result_that_does_not_depend_on_the_speed_of_the_machine(
    start, monkeypatch, seconds
):
    monkeypatch.setattr(fit, "_BLOCK_SECONDS", seconds)
    run = start(StoppingRule(50, target_accuracy=1.0), rate=1e30)
    assert run.run() == "diverged"
    assert not np.isfinite(run.batch_losses[-1])
    # The end of the first epoch: its second step's loss is lost.
    assert run.batch_losses.shape == (3,)
    assert [r["step"] for r in run.rows if r["metric"] == "diverged"] == [3]
    assert [r["value"] for r in run.rows if r["metric"] == "fit"] == [0]


@pytest.mark.parametrize(
    ("rule", "rate"), [(StoppingRule(200, target_accuracy=1.0), 0.05), (StoppingRule(50), 1e30)]
)
def test_a_run_that_is_killed_after_its_end_is_not_trained_further(start, monkeypatch, rule, rate):
    def killed(self):
        raise KilledError

    first = start(rule, rate)
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(Fit, "_finish", killed)
        first.run()
    assert first.trainer.step < 3 * rule.epochs
    second = start(rule, rate)
    monkeypatch.setattr(second.trainer, "train", lambda *_: pytest.fail("it is trained"))
    assert second.run() == first.status
    assert second.trainer.step == first.trainer.step


def test_the_last_loss_says_whether_the_last_update_diverged(start, monkeypatch):
    run = start(StoppingRule(2, target_accuracy=2.0))
    last = lambda _: (np.inf if run.trainer.step == 6 else 0.5, 0.2)  # noqa: E731
    monkeypatch.setattr(run.trainer, "evaluate", last)
    assert run.run() == "diverged"


@pytest.mark.parametrize("name", ["bias", "moving_variance"])
def test_a_run_whose_weights_are_lost_behind_a_finite_loss_has_diverged(start, name):
    run = start(StoppingRule(5))
    train, bias = run.trainer.train, next(v for v in run.trainer.model.variables if v.name == name)

    def losing(order, num_steps):
        result = train(order, num_steps)
        if run.trainer.step == 6:  # the end of the second epoch
            bias.assign(np.full(bias.shape, np.nan))
        return result

    run.trainer.train = losing
    assert run.run() == "diverged"
    assert np.isfinite(run.batch_losses).all() and run.batch_losses.shape == (6,)
    assert [r["step"] for r in run.rows if r["metric"] == "diverged"] == [6]


def test_a_run_whose_last_update_diverges_has_diverged(start, images):
    run = start(StoppingRule(1), rate=1e30)
    run.trainer.load(images.images[:8], images.labels[:8], Streams(0))  # one step
    assert run.run() == "diverged"
    assert np.isfinite(run.batch_losses).all()


@pytest.mark.parametrize("killed_at", [1, 4, 6, 8])
def test_a_killed_run_goes_on_bit_for_bit(start, whole, monkeypatch, killed_at):
    monkeypatch.setattr(fit, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(fit, "_BLOCK_SECONDS", 0.0)  # a checkpoint after every step
    first = start(PLAN)
    train = first.trainer.train

    def dying(order, num_steps):
        if first.trainer.step == killed_at:
            raise KilledError
        return train(order, num_steps)

    monkeypatch.setattr(first.trainer, "train", dying)
    with pytest.raises(KilledError):
        first.run()
    second = start(PLAN, progress=Progress("", 66))
    second.run()
    np.testing.assert_array_equal(second.batch_losses, whole.batch_losses)
    assert second.rows == whole.rows
    for a, b in zip(second.trainer.model.variables, whole.trainer.model.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert second.opened.progress._skipped == 22 * (killed_at // 3) + 8 * (killed_at % 3)


@pytest.mark.parametrize("damaged", ["state.data-00000-of-00001", "rows.jsonl", "arrays.npz"])
def test_a_run_with_a_damaged_checkpoint_goes_on_from_the_one_before_bit_for_bit(
    damaged, start, whole, monkeypatch, capsys
):
    monkeypatch.setattr(fit, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(fit, "_BLOCK_SECONDS", 0.0)
    first = start(PLAN)

    def killed(_):
        if first.trainer.step == 7:
            raise KilledError

    monkeypatch.setattr(first, "_adapt", killed)
    with pytest.raises(KilledError):
        first.run()
    newest = first.folder.work / "checkpoints" / "6" / damaged
    newest.write_bytes(newest.read_bytes()[:-1])
    second = start(PLAN, progress=Progress("", 66))
    second.run()
    assert "/6 is damaged; going on from step 5" in capsys.readouterr().err
    assert second.rows == whole.rows
    np.testing.assert_array_equal(second.batch_losses, whole.batch_losses)
    for a, b in zip(second.trainer.model.variables, whole.trainer.model.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_further_measurements_are_made_before_the_first_and_after_every_epoch(start):
    def measure(epoch):
        return [{"metric": "width", "value": epoch, "statistic": "run", "epoch": epoch, "step": 3 * epoch}]

    run = start(StoppingRule(2), measure=measure)
    run.run()
    assert [r["value"] for r in run.rows if r["metric"] == "width"] == [0, 1, 2]


def test_every_epoch_has_an_order_of_its_own(start, monkeypatch):
    run, orders = start(StoppingRule(3)), []
    train = run.trainer.train

    def recording(order, num_steps):
        orders.append((run.trainer.step // 3, tuple(order)))
        return train(order, num_steps)

    monkeypatch.setattr(run.trainer, "train", recording)
    run.run()
    of_epochs = dict(orders)
    assert set(orders) == set(of_epochs.items())  # the calls of an epoch share its order
    assert len(set(of_epochs.values())) == 3
    assert all(sorted(order) == list(range(22)) for order in of_epochs.values())


def test_the_order_of_each_epoch_is_that_of_its_stream(start, monkeypatch):
    run, orders = start(StoppingRule(2)), []
    train = run.trainer.train

    def recording(order, num_steps):
        orders.append(order)
        return train(order, num_steps)

    monkeypatch.setattr(run.trainer, "train", recording)
    run.run()
    expected = [Streams(0).generator("order", epoch).permutation(22) for epoch in (0, 1)]
    np.testing.assert_array_equal(orders[0], expected[0])
    np.testing.assert_array_equal(orders[-1], expected[1])
