"""The claims of Gamba et al. 2022 on scalar data: a polynomial and a network."""

from common.study.claims import claim
from common.study.decisions import together
from common.study.verdicts import Outcome, Sample, above, below, compare, geometric_mean
from replications.smooth_interpolation import results

# A network interpolates scalar data if less than a twentieth of their noise is left, a polynomial fits them
# exactly.
_INTERPOLATED, _EXACT = 0.05, 1e-6


def _scalar(evidence, metric, **coordinates):
    """{seed: value} of a metric of the scalar fits with these settings."""
    return {run.seed: results.last(run, metric) for run in evidence.seeds(**coordinates)}


def _ratio(evidence, label, metric, top, bottom):
    high, low = (_scalar(evidence, metric, **place) for place in (top, bottom))
    seeds = sorted(set(high) & set(low))
    return geometric_mean(label, [high[seed] / low[seed] for seed in seeds])


def _share_of_noise(evidence, metric, **place):
    """A metric of the scalar fits with these settings over the variance of the points' noise, by seed."""
    fits = evidence.seeds(**place)
    return tuple(results.last(run, metric) / run.record["settings"]["target_noise"] ** 2 for run in fits)


def _less_noise_kept(evidence, label, smooth, spiky):
    """Sample of the noise that one fit keeps at a distance of 0.01 and another one does not."""
    more, less = (_scalar(evidence, "noise_kept", **place) for place in (smooth, spiky))
    return Sample(label, tuple(more[seed] - less[seed] for seed in sorted(set(more) & set(less))))


def _interpolates(evidence, degree):
    return max(_share_of_noise(evidence, "train_loss", degree=degree)) < _EXACT


@claim(
    1,
    "The polynomial of large degree interpolates the noisy points with spikes and stays close to the "
    "noise-free function elsewhere.",
    "Section 1, figure 1a",
    ("1a",),
    quote="predictive function sharply interpolating noisy samples (intuitively corresponding to a spike "
    "at each training point), while overall remaining close to the data-generating function",
    tests="The largest degree fits the points to a millionth of their noise's variance, is nearer to the "
    "signal than the noisy points are and than degree 20, and keeps less of a point's noise at a distance "
    "of 0.01 than the smallest degree that interpolates.",
    confirmatory_from=5,
)
def polynomial_is_spiky(evidence):
    """The largest polynomial against the signal, degree 20, and the smallest that interpolates as well."""
    degrees = evidence.values("degree")
    largest, critical = {"degree": degrees[-1]}, {"degree": 20}
    label = f"degree {degrees[-1]:,}"
    residual = Sample(label, _share_of_noise(evidence, "train_loss", **largest))
    distance = Sample(label, _share_of_noise(evidence, "test_loss", **largest))
    error = _ratio(evidence, "degree 20 over the largest", "test_loss", critical, largest)
    outcomes = [
        compare(
            "mean squared error on the noisy points over the variance of noise", [residual], below(_EXACT)
        ),
        compare("squared distance from the signal over the variance of noise", [distance], below(1)),
        compare("squared distance from the signal", [error], above(1)),
    ]
    smaller = next((degree for degree in degrees[:-1] if _interpolates(evidence, degree)), None)
    if smaller is None:
        text = "no smaller degree interpolates in all seeds, so there is nothing to compare its spikes with"
        return together(*outcomes, Outcome("open", text))
    gap = _less_noise_kept(evidence, f"degree {smaller:,} minus {label}", {"degree": smaller}, largest)
    return together(*outcomes, compare("share of the noise kept at a distance of 0.01", [gap], above(0)))


@claim(
    2,
    "Networks interpolate the same kind of data smoothly: noise is predicted around the points too.",
    "Section 1, figure 1b",
    ("1a", "1b"),
    quote="deep networks, which instead smoothly interpolate both clean and noisy data",
    tests="The widest network fits the points to 5 % of their noise's variance; near them its slope is "
    "below the polynomial's, and at a distance of 0.01 it keeps more of their noise.",
    confirmatory_from=5,
)
def network_is_smooth(evidence):
    """The widest network against the polynomial of the highest degree, on the same points."""
    degrees = [degree for degree in evidence.values("degree", network="polynomial")]
    widths = evidence.values("width", network="mlp")
    polynomial = {"network": "polynomial", "degree": degrees[-1]}
    network = {"network": "mlp", "width": widths[-1]}
    slope = _ratio(evidence, "polynomial over network", "slope", polynomial, network)
    share = _less_noise_kept(evidence, "network minus polynomial", network, polynomial)
    residual = Sample(f"width {widths[-1]}", _share_of_noise(evidence, "train_loss", **network))
    return together(
        compare(
            "mean squared error on the noisy points over the variance of noise",
            [residual],
            below(_INTERPOLATED),
        ),
        compare("slope near the points", [slope], above(1)),
        compare("share of the noise kept at a distance of 0.01", [share], above(0)),
    )
