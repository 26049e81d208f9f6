"""Checks of the claims on what Zhang et al. 2017 compute without training: sections 4 and 5."""

from common.study.claims import claim
from common.study.decisions import described, equality, ordering, rate, together, trend
from common.study.effects import level
from common.study.records import last
from replications.zhang_randomization.claims.regularizers import GENERALIZES, TOLERANCE
from replications.zhang_randomization.published import KERNEL_ERROR
from replications.zhang_randomization.results import accuracy, fitted_share


@claim(
    34,
    "A two-layer ReLU network of 2n + d weights represents any labels of n points in d dimensions.",
    "Zhang et al., section 4, theorem 1",
    ("theorem1",),
    quote="There exists a two-layer neural network with ReLU activations and 2n + d weights that can "
    "represent any function on a sample of size n in d dimensions.",
    tests="In more than half of the runs of the proof's construction, on images with random labels, every "
    "label is right and the network has 2n + 2,352 weights.",
    confirmatory_from=1,
)
def a_small_network_has_any_labels(evidence):
    runs = evidence.seeds(network="theorem_1")
    found = [last(run, "train_accuracy") == 1 and last(run, "num_weights") == _weights(run) for run in runs]
    counted = f"{_weights(runs[0]):,} weights for {_images(runs[0]):,} images"
    return together(
        rate("Random labels are all right", sum(found), len(found)), described("size", [("", counted)])
    )


def _images(run):
    return run.record["settings"]["num_train"] or 50_000


def _weights(run):
    return 2 * _images(run) + 28 * 28 * 3


@claim(
    35,
    "Least squares with a Gaussian kernel, without regularization, fits the training set and generalizes: "
    "test error about 46 % on raw pixels.",
    "Zhang et al., section 5",
    ("kernel",),
    quote="Simply applying a Gaussian kernel on pixels and using no regularization achieves 46% test error.",
    tests="All runs fit; the test accuracy grows with the number of images (Page's test), and is above 20 % "
    "at the largest; at paper scale its error there is 46 % within 2 points.",
    confirmatory_from=1,
)
def kernels_generalize(evidence):
    counts = [n for n in evidence.values("num_train") if n]
    places = [{"num_train": count} for count in counts]
    values = evidence.table(places, accuracy("test")).values
    largest = level(f"{counts[-1]:,} images", values[:, -1])
    parts = [
        fitted_share(evidence, "runs of all numbers of images", places),
        trend("test accuracy", "the number of images", values),
        ordering("test accuracy (%)", largest, bound=GENERALIZES),
    ]
    if evidence.scale == "paper":
        error = level(largest.label, 100 - values[:, -1])
        parts.append(equality("test error (%)", error, TOLERANCE, KERNEL_ERROR))
    return together(*parts)
