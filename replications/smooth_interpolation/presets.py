"""The runs of every figure of Gamba et al. 2022 at every scale, and what they cost."""

from common.study.runs import Study
from replications.smooth_interpolation.earlier_names import EARLIER_NAMES
from replications.smooth_interpolation.settings import PROTOCOL_VERSION, Settings

# Figures that show the same runs share them: 1c, 2, 3, 5 and pd; 1d and 4; 6 and heatmaps.
WIDTHS = {
    "paper": tuple(range(1, 65)),
    "laptop": (1, 2, 3, 4, 5, 6, 7, 8, 12),
    "smoke": (1, 2, 4),
}
RESNET_WIDTHS = WIDTHS | {"laptop": (1, 2, 3, 4, 6, 8, 12, 16, 24), "smoke": (1, 2)}
DEGREES = {
    "paper": (1, 2, 3, 5, 8, 12, 16, 20, 25, 30, 40, 60, 100, 200, 500, 1000),
    "smoke": (3, 20, 200),
}
NETWORK_WIDTHS = {"paper": (2, 4, 8, 16, 32, 64, 128, 256), "smoke": (2, 16)}

_LAPTOP = {"num_test": 5000, "num_samples": 1000, "num_checkpoints": 24, "batch_size": 125, "epochs": 600}
_LAPTOP |= {"num_train": 2000, "learning_rate": 0.02}
_LAPTOP_RESNET = _LAPTOP | {"num_train": 500, "num_samples": 500, "num_test": 2000, "batch_size": 20}
_LAPTOP_RESNET |= {"epochs": 400, "learning_rate": 2.5e-4}
_SMOKE = {
    "dataset": "synthetic",
    "num_train": 60,
    "num_test": 60,
    "batch_size": 20,
    "epochs": 40,
    "learning_rate": 0.02,
    "num_checkpoints": 6,
    "num_samples": 20,
    "num_paths": 2,
    "num_copies": 2,
}
_SMOKE_RESNET = _SMOKE | {"epochs": 10, "learning_rate": 0.002, "num_checkpoints": 3}
_SCALED = {
    "convnet": {"paper": {"num_checkpoints": 40}, "laptop": _LAPTOP, "smoke": _SMOKE},
    "resnet18w": {"paper": {"num_checkpoints": 40}, "laptop": _LAPTOP_RESNET, "smoke": _SMOKE_RESNET},
}


NETWORK_SIZES = {
    scale: {network: _SCALED[network][scale] for network in _SCALED} for scale in ("paper", "laptop", "smoke")
}


def _family(scale, network="convnet", widths=WIDTHS, **values):
    """One network at every width of a scale."""
    shared = {"network": network} | _SCALED[network][scale] | values
    return [shared | {"width": width} for width in widths[scale]]


def _noisy(scale):
    return _family(scale)


def _two_seeds(scale):
    return _family(scale, seed=0) + _family(scale, seed=1)


def _smallest(scale):
    """The narrowest ConvNet of figure 3; at laptop scale on more images, so that it cannot fit them."""
    images = {"num_train": 10_000, "epochs": 120} if scale == "laptop" else {}
    return _family(scale, widths=dict.fromkeys(WIDTHS, (1,)), **images)


def _clean(scale):
    """CIFAR-100 without noise; below paper scale CIFAR-10 stands in for it."""
    if scale == "paper":
        return _family(scale, dataset="cifar100", label_noise=0.0)
    return _family(scale, label_noise=0.0, stand_in_for="cifar100")


def _asymmetric(scale):
    """A fifth of the classes of CIFAR-100, 80 % of whose labels are wrong; below paper scale of CIFAR-10."""
    if scale == "paper":
        return _family(scale, dataset="cifar100", noise="asymmetric")
    return _family(scale, noise="asymmetric", stand_in_for="cifar100")


def _resnets(scale):
    return _family(scale, "resnet18w", RESNET_WIDTHS)


def _scalar(scale, **values):
    """Scalar data are small: the scales differ in length for tests alone."""
    return {"dataset": "scalar"} | ({"epochs": 500} if scale == "smoke" else {}) | values


def _of_scale(choices, scale):
    return choices["smoke" if scale == "smoke" else "paper"]


def _polynomials(scale):
    return [_scalar(scale, network="polynomial", degree=degree) for degree in _of_scale(DEGREES, scale)]


def _networks(scale):
    return [_scalar(scale, network="mlp", width=width) for width in _of_scale(NETWORK_WIDTHS, scale)]


FIGURES = {
    "1a": _polynomials,
    "1b": _networks,
    "1c": _noisy,
    "1d": _clean,
    "2": _noisy,
    "3": _noisy,
    "4": _clean,
    "5": _noisy,
    "6": _resnets,
    "7": _asymmetric,
    "heatmaps": _resnets,
    "smallest": _smallest,
    "pd": _two_seeds,
}


# Microseconds of one core for a training step's image, of a constant, the width and its square; a gradient by
# the input costs about the same, an evaluation a third.
_MICROSECONDS = {"convnet": (90, 12, 3), "resnet18w": (400, 60, 8)}


def estimate(settings):
    """Seconds that a run takes on two cores, both in use; an estimate."""
    if settings.dataset == "scalar":
        return 2 if settings.network == "polynomial" else 3 + settings.width**2 * settings.epochs / 2e8
    num_train = settings.train_size - settings.num_validation
    num_test, num_samples = settings.test_size, settings.num_samples or num_train
    checkpoints = len(settings.checkpoint_epochs) + len(settings.late_epochs)
    points = 1 + settings.num_copies
    anchors = 1 + settings.num_paths * len(settings.erased)
    images = num_train * (settings.epochs + 1 / 3) + num_test * (checkpoints + 2) / 3
    images += num_samples * points * (anchors + checkpoints)
    cost = sum(c * settings.width**i for i, c in enumerate(_MICROSECONDS[settings.network]))
    return 10 + images * cost / 2e6


def runs_of_figure(name, scale):
    """Returns the settings of every run of a figure.

    Args:
        name: A key of `STUDY.figures`.
        scale: "paper": the published protocol; "laptop": fewer images, epochs and widths; "smoke":
            seconds, on synthetic images, for tests.
    """
    return [Settings(**values) for values in FIGURES[name](scale)]


def _keeps_array(settings: Settings, name: str) -> bool:
    """Whether an array is packed: of scalar data one seed's curves are drawn."""
    return name != "batch_losses" and (settings.of_images or settings.seed == 0)


STUDY = Study(
    name="smooth_interpolation",
    settings=Settings,
    protocol_version=PROTOCOL_VERSION,
    figures=tuple(FIGURES),
    runs_of_figure=runs_of_figure,
    estimate=estimate,
    compiles_once_over="seed",
    images=True,
    min_seeds={"pd": 2},
    network_sizes=NETWORK_SIZES,
    named_by="network width degree noise label_noise stand_in_for num_train seed",
    keeps_array=_keeps_array,
    earlier_names=EARLIER_NAMES,
)
