import keras
import numpy as np
import pytest

from common.training import schedules


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_exponential_decay_falls_once_an_epoch():
    schedule = schedules.exponential(0.1, 0.95, steps_per_epoch=391)
    expected = [0.1, 0.1, 0.095, 0.095, 0.1 * 0.95**64]
    np.testing.assert_allclose(rates(schedule, [0, 390, 391, 781, 64 * 391]), expected, rtol=1e-6)


@pytest.mark.parametrize(("epochs", "drops"), [(100, (37, 62, 87)), (200, (74, 124, 175))])
def test_step_schedule_drops_where_the_released_code_does(epochs, drops):
    schedule = schedules.step(0.1, epochs, steps_per_epoch=10)
    for number, epoch in enumerate(drops):
        before, after = rates(schedule, [10 * epoch - 1, 10 * epoch])
        assert before == pytest.approx(0.1 * 0.1**number)
        assert after == pytest.approx(0.1 * 0.1 ** (number + 1))


def test_warmup_rises_by_epochs_and_stays():
    schedule = schedules.LinearWarmup(0.001, 0.005, epochs=5, steps_per_epoch=7)
    expected = [0.001, 0.001, 0.002, 0.004, 0.005, 0.005]
    np.testing.assert_allclose(rates(schedule, [0, 6, 7, 27, 28, 1000]), expected, rtol=1e-6)


@pytest.mark.parametrize("epochs", [1, 0, -1])
def test_a_warmup_has_two_epochs_or_more(epochs):
    with pytest.raises(ValueError, match=f"`epochs` must be at least 2. Received: epochs={epochs}$"):
        schedules.LinearWarmup(0.001, 0.005, epochs=epochs, steps_per_epoch=7)


def test_cosine_is_half_a_period_over_all_epochs():
    schedule = schedules.EpochCosine(0.1, epochs=10, steps_per_epoch=4)
    expected = [0.1, 0.1, 0.05, 0.1 * (1 + np.cos(0.9 * np.pi)) / 2]
    np.testing.assert_allclose(rates(schedule, [0, 3, 20, 39]), expected, rtol=1e-5)


def test_cosine_rises_again_after_its_length():
    """Over 4 epochs of half a cosine: 1, 0.5 at 2, 0 at 4, 0.5 at 6, 1 at 8."""
    schedule = schedules.EpochCosine(1.0, epochs=4, steps_per_epoch=3)
    np.testing.assert_allclose(rates(schedule, [0, 6, 12, 18, 24]), [1, 0.5, 0, 0.5, 1], atol=1e-6)


@pytest.mark.parametrize("kind", [schedules.LinearWarmup, schedules.EpochCosine])
def test_config_round_trip(kind):
    arguments = {"rate": 0.1, "epochs": 5, "steps_per_epoch": 7}
    schedule = kind(**arguments, **({"start": 0.01} if kind is schedules.LinearWarmup else {}))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert type(copy) is kind and copy.get_config() == schedule.get_config()
