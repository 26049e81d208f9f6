"""The claims on scalar data, on made-up rows; seeds below five were looked at when they were written."""

import pytest

from common.study.claims import judge
from replications.smooth_interpolation.claims import CLAIMS
from replications.smooth_interpolation.presets import STUDY, runs_of_figure

BY_NUMBER = {claim.number: claim for claim in CLAIMS}


def scalar_verdicts(records):
    found = judge([BY_NUMBER[1], BY_NUMBER[2]], STUDY, records, "smoke")
    return {judgement.claim.number: judgement.outcome.words for judgement in found}


def scalar(write_scalar, name, values, scale="smoke"):
    for seed in (0, 5, 6, 7):  # three that decide
        for settings in runs_of_figure(name, scale):
            size = settings.degree or settings.width
            records = write_scalar(
                settings, {k: v[size] * (1 + 0.01 * seed) for k, v in values.items()}, seed
            )
    return records


def test_polynomials_and_networks(write_scalar):
    polynomials = {
        "train_loss": {3: 0.1, 20: 0.01, 200: 1e-12},
        "test_loss": {3: 0.01, 20: 5.0, 200: 0.005},
        "slope": {3: 2.0, 20: 30.0, 200: 20.0},
        "noise_kept": {3: 0.2, 20: 0.8, 200: 0.5},
    }
    networks = {
        "train_loss": {2: 0.1, 16: 1e-4},
        "slope": {2: 1.0, 16: 5.0},
        "noise_kept": {2: 0.1, 16: 0.9},
    }
    records = scalar(write_scalar, "1a", polynomials)
    scalar(write_scalar, "1b", networks)
    # Of these degrees the largest alone interpolates: there is no wider spike.
    assert scalar_verdicts(records) == {1: "reproduced in part (3 of 4)", 2: "reproduced"}


@pytest.mark.parametrize(
    ("kept", "distance", "verdicts_of_parts"),
    [
        (0.4, 0.005, ["reproduced", "reproduced", "reproduced", "reproduced"]),
        (0.9, 0.005, ["reproduced", "reproduced", "reproduced", "contradicted"]),
        (0.4, 0.05, ["reproduced", "contradicted", "reproduced", "reproduced"]),
    ],
)
def test_a_spike_is_narrower_than_that_of_the_smallest_degree_that_interpolates(
    kept, distance, verdicts_of_parts, write_scalar
):
    degrees = [settings.degree for settings in runs_of_figure("1a", "paper")]
    polynomials = {
        "train_loss": {d: 1e-12 if d >= 60 else 0.01 for d in degrees},
        "test_loss": {d: distance if d == 1000 else 1.0 for d in degrees},
        "noise_kept": {d: kept if d == 1000 else 0.8 if d == 60 else 0.5 for d in degrees},
    }
    records = scalar(write_scalar, "1a", polynomials, "paper")
    (judgement,) = judge([BY_NUMBER[1]], STUDY, records, "paper")
    assert [part.verdict for part in judgement.outcome.parts] == verdicts_of_parts
    assert "degree 60 minus degree 1,000" in judgement.outcome.seen


def test_rough_networks_contradict(write_scalar):
    polynomials = {
        "train_loss": {3: 0.1, 20: 0.01, 200: 1e-12},
        "test_loss": {3: 0.01, 20: 0.05, 200: 0.1},
        "slope": {3: 2.0, 20: 30.0, 200: 20.0},
        "noise_kept": {3: 0.2, 20: 0.8, 200: 0.5},
    }
    networks = {
        "train_loss": {2: 0.1, 16: 1e-4},
        "slope": {2: 1.0, 16: 50.0},
        "noise_kept": {2: 0.1, 16: 0.3},
    }
    records = scalar(write_scalar, "1a", polynomials)
    scalar(write_scalar, "1b", networks)
    # One part holds, and there is no wider spike to compare with.
    assert scalar_verdicts(records) == {1: "open", 2: "contradicted"}
