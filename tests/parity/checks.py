"""The checks of our functions against the official code: the source of the tests and of docs/parity.md."""

import dataclasses
import hashlib
import types
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from common.compilation import compiled
from common.data import corruption
from common.data.colour_jitter import apply_jitter, compose, in_sequence
from common.data.svd_paths import decompose, erasure_windows, segment_lengths, svd_paths
from common.metrics.class_skips import class_skips
from common.metrics.fragmentation import fragmentation_score, fragmentation_scores
from common.metrics.logits import logits_of
from common.metrics.margin import DISTANCES, Margins, margins
from common.metrics.plane import draw_released_triplets
from common.metrics.reproducibility import reproducibility_score, triplet_agreement
from common.metrics.sharpness import jacobian_norm, tangent_hessian_norm
from common.metrics.volumes import integrate_paths
from tests.parity.outputs import OfficialOutputs

DBVIZ = "somepago/dbViz aeea84c"
DOUBLE_DESCENT = "magamba/double_descent e8706de"
# Nearer than this the two largest logits may change places on other hardware.
_SMALLEST_GAP = 1e-3


@dataclasses.dataclass(frozen=True)
class Check:
    """One quantity that our functions and the official code compute from the same input.

    Args:
        name: Name of the check.
        quantity: What is compared, and the unit of the difference.
        code: Repository and commit of the official code.
        function: Name of the official function.
        tolerance: Largest difference that is rounding, several times what one CPU shows; 0: exact.
        difference: Function of `OfficialOutputs` that returns the greatest difference.
    """

    name: str
    quantity: str
    code: str
    function: str
    tolerance: float
    difference: Callable[[OfficialOutputs], float]


CHECKS: list[Check] = []


def check(code: str, function: str, quantity: str, tolerance: float = 0.0) -> Callable:
    """Makes a check of a function that returns the greatest difference; its name is the function's."""

    def register(difference: Callable[[OfficialOutputs], float]) -> Callable[[OfficialOutputs], float]:
        CHECKS.append(Check(difference.__name__, quantity, code, function, tolerance, difference))
        return difference

    return register


def greatest(ours: np.ndarray, theirs: np.ndarray, unit: np.ndarray | float = 1.0) -> float:
    """Greatest difference between two arrays of one shape, in a unit; nan where one has a nan.

    Raises:
        ValueError: If the shapes differ.
    """
    ours, theirs = (np.asarray(array, np.float64) for array in (ours, theirs))
    if ours.shape != theirs.shape:
        raise ValueError(f"Shapes must be equal. Received: {ours.shape} and {theirs.shape}")
    return float(np.max(np.abs(ours - theirs) / unit))


def of_largest(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Greatest difference as a part of the largest official value."""
    return greatest(ours, theirs, np.max(np.abs(theirs)))


def num_different(ours: np.ndarray, theirs: np.ndarray) -> int:
    """Number of entries that differ between two arrays of one shape."""
    greatest(ours, theirs)
    return int(np.count_nonzero(np.asarray(ours) != np.asarray(theirs)))


# Somepalli et al. 2022: planes


@check(DBVIZ, "get_plane", "places of the images on six planes, of the largest", 4e-7)
def plane_coordinates(official: OfficialOutputs) -> float:
    ours = np.array([plane.coordinates for plane in official.planes])
    return of_largest(ours, official("planes", "coordinates"))


@check(DBVIZ, "get_plane", "planes whose third image lies behind the first, number that differ")
def obtuse_planes(official: OfficialOutputs) -> float:
    ours = np.array([plane.coordinates[2, 0] < 0 for plane in official.planes])
    return num_different(ours, official("planes", "obtuse"))


@check(DBVIZ, "plane_dataset", "both axes of the grids of 50 x 50 points, of the largest", 4e-7)
def plane_axes(official: OfficialOutputs) -> float:
    ours = np.array([(plane.axis_u, plane.axis_v) for plane in official.planes])
    theirs = np.stack([official("planes", "axis_u"), official("planes", "axis_v")], axis=1)
    return of_largest(ours, theirs)


@check(DBVIZ, "plane_dataset", "inputs at five points of each plane, in normalised pixels", 8e-6)
def plane_points(official: OfficialOutputs) -> float:
    ours = [plane.points()[official("planes", "point_index")] for plane in official.planes]
    return greatest(ours, official("planes", "points"))


@check(DBVIZ, "make_resnet18k", "logits of two ResNet18k (k = 2) at six images", 5e-6)
def resnet18k_logits(official: OfficialOutputs) -> float:
    inputs = official.inputs("reproducibility")
    ours = [logits_of(model, inputs) for model in official.resnets]
    return greatest(ours, official("reproducibility", "logits"))


@check(
    DBVIZ,
    "decision_boundary",
    "gaps between the two largest logits at 30,000 points, relative (kept in 16 bits)",
    1e-3,
)
def logit_gaps(official: OfficialOutputs) -> float:
    theirs = official("reproducibility", "logit_gap").astype(np.float64)
    ours = np.empty_like(theirs)
    for i, model in enumerate(official.resnets):
        run = compiled(lambda points, model=model: tf.math.top_k(logits_of(model, points), 2).values)
        for j, plane in enumerate(official.planes):
            first, second = run(tf.constant(plane.points())).numpy().T
            ours[i, j] = (first - second).reshape(theirs.shape[2:])
    return greatest(ours, theirs, np.maximum(theirs, 0.01))


@check(DBVIZ, "decision_boundary", "classes at the points whose gap is above 0.001, number that differ")
def plane_classes(official: OfficialOutputs) -> float:
    clear = official("reproducibility", "logit_gap") > _SMALLEST_GAP
    return num_different(official.plane_classes[clear], official("reproducibility", "classes")[clear])


@check(DBVIZ, "calculate_iou_simple", "reproducibility score of their class maps", 5e-8)
def score(official: OfficialOutputs) -> float:
    ours = reproducibility_score(*official("reproducibility", "classes"))
    return greatest(ours, official("reproducibility", "score"))


@check(DBVIZ, "calculate_iou_simple", "agreement on each of the six planes", 1e-7)
def score_by_plane(official: OfficialOutputs) -> float:
    ours = triplet_agreement(*official("reproducibility", "classes"))
    return greatest(ours, official("reproducibility", "score_by_plane"))


@check(DBVIZ, "connected_components", "fragmentation of the networks' 12 planes")
def fragmentation_of_planes(official: OfficialOutputs) -> float:
    ours = fragmentation_scores(official("reproducibility", "classes"))
    return greatest(ours, official("reproducibility", "fragmentation"))


@check(DBVIZ, "connected_components", "fragmentation of 60 maps, smooth ones and noise, 3 to 1,656 regions")
def fragmentation_of_maps(official: OfficialOutputs) -> float:
    counts = official("fragmentation", "counts")
    ours = [fragmentation_score(official("fragmentation", f"map_{i:02d}")) for i in range(len(counts))]
    return greatest(ours, counts)


# Somepalli et al. 2022: margins, class skips, triplets


@check(DBVIZ, "delta_counter", "the 200 distances that are probed, in normalised pixels", 1e-11)
def margin_distances(official: OfficialOutputs) -> float:
    return greatest(DISTANCES, official("margins", "ladder"))


def _margins(official: OfficialOutputs) -> Margins:
    """Our margins toward the targets that the official code drew."""
    bases, targets = official("margins", "bases"), official("margins", "targets")
    # Ours are numbers among the images other than the base.
    draws = types.SimpleNamespace(integers=lambda *_, **__: targets - (targets > bases[:, np.newaxis]))
    images = official.inputs("margins")
    return margins(official.classifiers[0], images, bases, np.arange(len(images)), draws)


# In one of ten directions from one image the gap is 9e-6 at a distance next to its crossing, the smallest of
# all: where another machine decides otherwise, the crossing is 0.01 nearer and the mean of ten 0.001 less.
@check(DBVIZ, "avg_margin", "margins of eight images, in normalised pixels", 1.1e-3)
def image_margins(official: OfficialOutputs) -> float:
    return greatest(_margins(official).values, official("margins", "margins"))


@check(DBVIZ, "avg_margin", "their median", 1e-11)
def median_margin(official: OfficialOutputs) -> float:
    return greatest(np.median(_margins(official).kept()), official("margins", "median"))


@check(DBVIZ, "count_skips", "changes of class between 40 pairs of images")
def skips(official: OfficialOutputs) -> float:
    first, second = official.inputs("margins")[official("margins", "skip_pairs").T]
    ours = class_skips(official.classifiers[0], first, second, num_points=10)
    return greatest(ours, official("margins", "skips"))


@check(DBVIZ, "get_random_images", "50 triplets of test images, number of images that differ")
def released_triplets(official: OfficialOutputs) -> float:
    labels, runs = official("triplets", "test_labels"), official("triplets", "run")
    seed = int(official("triplets", "data_seed"))
    ours = draw_released_triplets(labels, runs.max() + 1, seed)[runs]
    different = num_different(ours, official("triplets", "triplets"))
    return different + num_different(labels[ours], official("triplets", "classes"))


# Gamba et al. 2022: erasures, sharpness


@check(DOUBLE_DESCENT, "SVDTransform", "first and last erased singular value, 4 paths x 6 strengths")
def erased_windows(official: OfficialOutputs) -> float:
    windows = official("svd_paths", "windows")
    ours = erasure_windows(32, len(windows), tuple(official("svd_paths", "strengths")))
    return greatest(ours, windows)


@check(DOUBLE_DESCENT, "SVDTransform", "two images' 48 erasures, in pixels of [0, 1]", 8e-6)
def erasures(official: OfficialOutputs) -> float:
    return greatest(svd_paths(official.pixels("svd_paths")), official("svd_paths", "erased"))


@check(DOUBLE_DESCENT, "make_cnn", "logits of a ConvNet (w = 6) at twelve images", 4e-6)
def convnet_logits(official: OfficialOutputs) -> float:
    return greatest(
        logits_of(official.convnet, official.inputs("sharpness")), official("sharpness", "logits")
    )


def _at_points(official: OfficialOutputs, metric: str, clip: str = "none") -> np.ndarray:
    """Our measure of the ConvNet at the twelve images themselves."""
    return official.volumes[clip][metric][:, 0]


@check(DOUBLE_DESCENT, "make_cnn", "its losses there, in nats", 2e-6)
def cross_entropies(official: OfficialOutputs) -> float:
    return greatest(_at_points(official, "cross_entropy"), official("sharpness", "cross_entropy"))


@check(DOUBLE_DESCENT, "make_cnn", "images that it classifies rightly, number that differ")
def accuracies(official: OfficialOutputs) -> float:
    return num_different(_at_points(official, "accuracy"), official("sharpness", "accuracy"))


@check(DOUBLE_DESCENT, "JacobianNorm", "Jacobian norms, of the largest", 6e-7)
def jacobian_norms(official: OfficialOutputs) -> float:
    model, _, labels, *_ = official.sharpness_arguments
    ours = jacobian_norm(model, official.inputs("sharpness"), labels)
    return of_largest(ours, official("sharpness", "jacobian_norm"))


def _copies(official: OfficialOutputs, clip: str) -> np.ndarray:
    """Our copies of two images with the colours that the official code was given."""
    places = official("sharpness", "copies_of")
    factors, orders = (official("sharpness", name)[places] for name in ("factors", "orders"))
    coefficients = compose(factors, orders) if clip == "none" else in_sequence(factors, orders)
    return apply_jitter(tf.constant(official.pixels("sharpness")[places]), coefficients, clip).numpy()


@check(DOUBLE_DESCENT, "MultiColorJitter", "changed colours of eight copies, in pixels of [0, 1]", 6e-7)
def clipped_copies(official: OfficialOutputs) -> float:
    return greatest(_copies(official, "code"), official("sharpness", "copies_clamped"))


@check(DOUBLE_DESCENT, "MultiColorJitter", "the same where its clip is taken out", 9e-7)
def copies(official: OfficialOutputs) -> float:
    return greatest(_copies(official, "none"), official("sharpness", "copies_unclamped"))


@check(DOUBLE_DESCENT, "TangentHessianNorm", "tangent Hessian norms, of the largest", 1e-6)
def clipped_tangent_hessian_norms(official: OfficialOutputs) -> float:
    ours = tangent_hessian_norm(*official.sharpness_arguments, colour_clip="code")
    return of_largest(ours, official("sharpness", "tangent_hessian_norm_clamped"))


@check(DOUBLE_DESCENT, "TangentHessianNorm", "the same where its clip is taken out", 1e-6)
def tangent_hessian_norms(official: OfficialOutputs) -> float:
    ours = tangent_hessian_norm(*official.sharpness_arguments)
    return of_largest(ours, official("sharpness", "tangent_hessian_norm_unclamped"))


# Gamba et al. 2022: volumes


@check(DOUBLE_DESCENT, "path_distances", "lengths of 288 segments of paths, relative", 7e-5)
def path_lengths(official: OfficialOutputs) -> float:
    _, singular_values, _ = decompose(official.pixels("sharpness"))
    theirs = official("volumes", "lengths")
    ours = segment_lengths(singular_values, erasure_windows(32), official("sharpness", "std"))
    return greatest(ours, theirs, theirs)


@check(DOUBLE_DESCENT, "integrate_line_cumulative", "integrals of random scores along paths", 1.5e-7)
def path_integrals(official: OfficialOutputs) -> float:
    scores, lengths = (official("volumes", name) for name in ("example_scores", "example_lengths"))
    return greatest(integrate_paths(scores, lengths)[:, 1:], official("volumes", "example_integrals"))


def _over_volumes(official: OfficialOutputs, metric: str, name: str, clip: str = "none") -> float:
    return of_largest(official.volumes[clip][metric][:, 1:], official("volumes", name))


@check(DOUBLE_DESCENT, "integrate_line_cumulative", "accuracy over six volumes around twelve images", 5e-8)
def volume_accuracies(official: OfficialOutputs) -> float:
    return _over_volumes(official, "accuracy", "accuracy")


@check(DOUBLE_DESCENT, "integrate_line_cumulative", "loss over these volumes, of the largest", 2e-6)
def volume_cross_entropies(official: OfficialOutputs) -> float:
    return _over_volumes(official, "cross_entropy", "cross_entropy")


@check(DOUBLE_DESCENT, "integrate_line_cumulative", "Jacobian norm over these, of the largest", 6e-5)
def volume_jacobian_norms(official: OfficialOutputs) -> float:
    return _over_volumes(official, "jacobian_norm", "jacobian_norm")


@check(DOUBLE_DESCENT, "integrate_line_cumulative", "tangent Hessian norm over these, of the largest", 2e-3)
def clipped_volume_tangent_hessian_norms(official: OfficialOutputs) -> float:
    return _over_volumes(official, "tangent_hessian_norm", "tangent_hessian_norm_clamped", "code")


@check(DOUBLE_DESCENT, "integrate_line_cumulative", "the same where the clip of colours is taken out", 2e-3)
def volume_tangent_hessian_norms(official: OfficialOutputs) -> float:
    return _over_volumes(official, "tangent_hessian_norm", "tangent_hessian_norm_unclamped")


# Wrong labels of both


def _is_other(official: OfficialOutputs, name: str, labels: np.ndarray) -> bool:
    """Whether labels are not those whose hash was kept."""
    found = hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest()
    return found != official("labels", f"{name}_sha256").item()


def _different_labels(official: OfficialOutputs, source: str, draws: dict[str, np.ndarray]) -> int:
    """Number of draws that differ: in their hash, in how many labels changed, or in the first 50 of these."""
    clean, different = official("labels", source), 0
    for name, noisy in draws.items():
        changed = np.flatnonzero(noisy != clean)
        first = np.stack([changed, clean[changed], noisy[changed]], axis=1)[:50]
        different += (
            _is_other(official, name, noisy)
            or len(changed) != official("labels", f"{name}_num_changed")
            or num_different(first, official("labels", f"{name}_changed")) > 0
        )
    return different + _is_other(official, source, clean)


@check(DBVIZ, "cifar10Nosiy", "wrong labels of CIFAR-10, rates 0.1 and 0.2, draws that differ")
def somepalli_labels(official: OfficialOutputs) -> float:
    clean, rates = official("labels", "true_labels"), {"somepalli_10": 0.1, "somepalli_20": 0.2}
    draws = {name: corruption.somepalli_labels(clean, rate, 10) for name, rate in rates.items()}
    return _different_labels(official, "true_labels", draws)


@check(
    DOUBLE_DESCENT, "corrupt_labels", "wrong labels of CIFAR-10, rate 0.2, seeds 0 and 7, draws that differ"
)
def gamba_symmetric_labels(official: OfficialOutputs) -> float:
    clean, draws = official("labels", "true_labels"), {}
    for seed in (0, 7):
        noisy = corruption.gamba_symmetric_labels(clean, 0.2, 10, np.random.default_rng(seed))
        draws[f"gamba_symmetric_seed{seed}"] = noisy
    return _different_labels(official, "true_labels", draws)


@check(DOUBLE_DESCENT, "corrupt_labels_asymmetric", "wrong labels of 20 and 25 classes, draws that differ")
def gamba_asymmetric_labels(official: OfficialOutputs) -> float:
    clean, draws = official("labels", "labels_100"), {}
    for number in (20, 25):
        rng = np.random.default_rng(5)
        noisy = corruption.gamba_asymmetric_labels(clean, number, 0.8, 100, rng, "first")
        draws[f"gamba_asymmetric_{number}_classes"] = noisy
    return _different_labels(official, "labels_100", draws)
