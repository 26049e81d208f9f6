"""The runs of every figure and table of Somepalli et al. 2022 at every scale, and what they cost.

A run trains one network and measures all that its protocol measures, so figures that show the same networks
share their runs.
"""

from common.study.runs import Study
from replications.somepalli_boundaries.earlier_names import EARLIER_NAMES
from replications.somepalli_boundaries.published import (
    DISTILLATION_NETWORKS,
    DOUBLE_DESCENT_WIDTHS,
    FIGURE_7_WIDTHS,
    FIGURE_8_WIDTH,
    FIGURE_9_WIDTHS,
    MATRIX_NETWORKS,
    OPTIMIZER_NETWORKS,
    PICTURES,
)
from replications.somepalli_boundaries.settings import PROTOCOL_VERSION, Settings

_SAM_RADIUS = 0.01  # section 2.3

# Narrow networks below paper scale, in the units of `published.WIDTHS`; Wide ResNets of 10 layers keep the
# proportions of their widths.
_LAPTOP_WIDTHS = {
    "wide_resnet_30": 3,
    "wide_resnet_20": 2,
    "wide_resnet_10": 1,
    "resnet18": 8,
    "densenet121": 4,
    "vgg19": 8,
    "vit": 64,
    "mlp_mixer": 32,
    "fully_connected": 256,
}
_SMOKE_WIDTHS = _LAPTOP_WIDTHS | {
    "wide_resnet_30": 2,
    "wide_resnet_20": 1,
    "resnet18": 2,
    "densenet121": 1,
    "vgg19": 2,
    "vit": 8,
    "mlp_mixer": 8,
    "fully_connected": 64,
}
NETWORK_SIZES = {
    "laptop": {network: {"width": width} for network, width in _LAPTOP_WIDTHS.items()},
    "smoke": {network: {"width": width} for network, width in _SMOKE_WIDTHS.items()},
}
# The smallest scale leaves out what takes long to compile.
_FEW = ("resnet18", "vit", "fully_connected")
_MATRIX_NETWORKS = {"paper": MATRIX_NETWORKS, "laptop": MATRIX_NETWORKS, "smoke": _FEW}
_DISTILLATION_NETWORKS = {"paper": DISTILLATION_NETWORKS, "laptop": DISTILLATION_NETWORKS}
_DISTILLATION_NETWORKS["smoke"] = ("resnet18", "fully_connected")
_OPTIMIZER_NETWORKS = {"paper": OPTIMIZER_NETWORKS, "laptop": OPTIMIZER_NETWORKS}
_OPTIMIZER_NETWORKS["smoke"] = ("resnet18", "vgg19")
_ARCHITECTURES = {
    "paper": {},
    "laptop": {
        "num_train": 4000,
        "num_test": 2000,
        "epochs": 20,
        "batch_size": 64,
        "num_triplets": 60,
        "num_random_planes": 5,
        "num_random_images": 200,
        "picture_resolution": 80,
    },
    "smoke": {
        "dataset": "synthetic",
        "num_train": 160,
        "num_test": 100,
        "epochs": 1,
        "batch_size": 80,
        "num_triplets": 2,
        "num_random_planes": 1,
        "num_random_images": 2,
        "resolution": 8,
        "picture_resolution": 16,
    },
}
# The networks of the paper have fitted their images. Narrow ones fit 500 that are not augmented, in the
# published 100 epochs at the published schedule. Planes have a quarter of the points, so that more fit in.
_FITTED = {
    "num_train": 500,
    "num_test": 2000,
    "epochs": 100,
    "batch_size": 32,
    "augmentation": "none",
    "num_triplets": 100,
    "num_random_planes": 50,
    "num_random_images": 100,
    "resolution": 25,
    "picture_resolution": 200,
    "pictures": "planes",
}
_FITTED_BY_NETWORK = {"vit": {"epochs": 160}}  # of seed 0 SGD had fitted 97.6 % in 100, with SAM 95.6 %
# Without augmentation and with a larger rate narrow networks pass the interpolation threshold of few images.
# Of fewer than these even k = 1 fits most, and the near side of the threshold would be missing.
_DOUBLE_DESCENT = {
    "paper": {},
    "laptop": {
        "num_train": 6000,
        "num_test": 2000,
        "epochs": 50,
        "learning_rate": 0.001,
        "augmentation": "none",
        "num_triplets": 40,
        "num_fragmentation_triplets": 30,
        "num_margin_images": 60,
        "picture_resolution": 64,
    },
    "smoke": {
        "dataset": "synthetic",
        "num_train": 320,
        "num_test": 100,
        "epochs": 1,
        "augmentation": "none",
        "num_triplets": 2,
        "num_fragmentation_triplets": 1,
        "num_margin_images": 2,
        "resolution": 8,
        "picture_resolution": 16,
    },
}
WIDTHS = {
    "paper": DOUBLE_DESCENT_WIDTHS,
    "laptop": (1, 2, 3, 4, 6, 8, 12),
    "smoke": (1, 2),
}
# The narrowest network, some around the threshold, the widest; and the two of figure 9.
_DRAWN_WIDTHS = {"paper": FIGURE_7_WIDTHS, "laptop": (1, 2, 4, 6, 12), "smoke": (1, 2)}
_THRESHOLD_WIDTH = {"paper": FIGURE_8_WIDTH, "laptop": 4, "smoke": 1}
_FIGURE_9_WIDTHS = {"paper": FIGURE_9_WIDTHS, "laptop": (4, 12), "smoke": (1, 2)}
_NOISES = (0.0, 0.2)


def _architecture(scale, network, **values):
    """One run of the architecture study; what is given wins over what the scale changes."""
    changes = dict(_ARCHITECTURES[scale])
    if scale != "paper":
        changes["width"] = _width(scale, network)
        changes["depth"] = 10
    return {"network": network} | changes | values


def _fitted(scale, network, **values):
    """One run of the matrix or the tables of optimizers: at laptop scale networks that fit their images."""
    if scale == "laptop":
        values = _FITTED | _FITTED_BY_NETWORK.get(network, {}) | values
    return _architecture(scale, network, **values)


def _width(scale, network):
    return (_LAPTOP_WIDTHS if scale == "laptop" else _SMOKE_WIDTHS)[network]


def _seeds(scale, number=3):
    return range(2 if scale == "smoke" else number)


def _matrix(scale):
    seeds = _seeds(scale, 5 if scale == "paper" else 3)  # section 3.2; the README has 0 to 2
    return [_fitted(scale, n, seed=s) for n in _MATRIX_NETWORKS[scale] for s in seeds]


def _distillation(scale):
    networks = _DISTILLATION_NETWORKS[scale]
    vanilla = [_architecture(scale, n, seed=s) for n in networks for s in (0, 1)]
    students = []
    for teacher in networks:
        named = {"teacher": teacher}
        if scale != "paper":
            named["teacher_width"] = _width(scale, teacher)
        students += [_architecture(scale, n, **named) for n in networks]
    return vanilla + students


def _optimizers(scale):
    choices = ({"optimizer": "adam"}, {}, {"sam_radius": _SAM_RADIUS})
    shared = {"protocol": "optimizers", "pictures": "none"}
    if scale != "paper":
        shared |= {"num_random_planes": 0, "num_random_images": 0}
    return [
        _fitted(scale, network, seed=seed, **shared, **choice)
        for network in _OPTIMIZER_NETWORKS[scale]
        for choice in choices
        for seed in _seeds(scale)
    ]


def _mixup(scale):
    return [_architecture(scale, "resnet18", mixup=mixup) for mixup in (False, True)]


SOURCES = {
    "initialization": ("seed",),
    "order": ("order_seed",),
    "augmentation": ("augmentation_seed",),
    "initialization and order": ("seed", "order_seed"),
    "all": ("seed", "order_seed", "augmentation_seed"),
}
_SOURCE_NETWORKS = {
    "paper": ("resnet18", "vit", "fully_connected"),
    "laptop": ("resnet18", "vit", "fully_connected"),
    "smoke": ("fully_connected",),
}


def _sources(scale):
    """For each source the runs that differ in its streams from the run with all seeds 0."""
    same = {"seed": 0, "order_seed": 0, "augmentation_seed": 0}
    return [
        _architecture(scale, network, **(same | dict.fromkeys(names, seed)))
        for network in _SOURCE_NETWORKS[scale]
        for names in SOURCES.values()
        for seed in _seeds(scale)
    ]


def _double_descent(scale, width, label_noise, seed, **values):
    """One run of the width sweep; it keeps pictures if a figure draws them."""
    drawn = width in {*_DRAWN_WIDTHS[scale], _THRESHOLD_WIDTH[scale], *_FIGURE_9_WIDTHS[scale]}
    named = {"protocol": "double_descent", "width": width, "label_noise": label_noise, "seed": seed}
    pictures = {"pictures": "double_descent" if drawn else "none"}
    return named | pictures | _DOUBLE_DESCENT[scale] | values


# The paper has two seeds, 1 and 25; a third gives its score an interval.
_SWEEP_SEEDS = {"paper": 2, "laptop": 3, "smoke": 2}


def _sweep(scale, widths, seeds):
    return [
        _double_descent(scale, width, noise, seed)
        for width in widths
        for noise in _NOISES
        for seed in range(seeds)
    ]


def _width_sweep(scale):
    return _sweep(scale, WIDTHS[scale], _SWEEP_SEEDS[scale])


def _nakkiran_1(scale):
    """Train and test error over width and epochs with 15 % noise; planes of one network are not needed."""
    plain = {"num_triplets": 1, "num_fragmentation_triplets": 0, "num_margin_images": 0, "pictures": "none"}
    often = {"evaluate_every": {"paper": 10, "laptop": 1, "smoke": 1}[scale]}
    seeds = {"paper": 1, "laptop": 2, "smoke": 1}[scale]
    return [
        _double_descent(scale, width, 0.15, seed, label_noise_rule="nakkiran") | plain | often
        for width in WIDTHS[scale]
        for seed in range(seeds)
    ]


FIGURES = {
    "planes": _matrix,
    "off_manifold": _matrix,
    "off_manifold_classes": _matrix,
    "lemma": _matrix,
    "reproducibility": _matrix,
    "distillation": _distillation,
    "optimizers": _optimizers,
    "nakkiran_1": _nakkiran_1,
    "7": lambda scale: _sweep(scale, _DRAWN_WIDTHS[scale], 1),
    "8": lambda scale: _sweep(scale, (_THRESHOLD_WIDTH[scale],), 1),
    # Claim 20 compares its networks; the picture shows the first seed.
    "9": lambda scale: _sweep(scale, _FIGURE_9_WIDTHS[scale], _SWEEP_SEEDS[scale]),
    "10": _width_sweep,
    "11": _width_sweep,
    "12": _width_sweep,
    "mixup": _mixup,
    "sources": _sources,
}
# Those that score the networks of two seeds.
MIN_SEEDS = dict.fromkeys(("reproducibility", "distillation", "optimizers", "11", "sources"), 2)

# Images a second on two cores, in training and in inference, at a width; both fall with the width.
_SPEEDS = {
    "wide_resnet_30": (3, 286, 1050),
    "wide_resnet_20": (2, 530, 2100),
    "wide_resnet_10": (1, 1500, 5700),
    "resnet18": (8, 1460, 6000),
    "densenet121": (4, 285, 1200),
    "vgg19": (8, 2400, 10500),
    "vit": (64, 570, 1840),
    "mlp_mixer": (32, 500, 1500),
    "fully_connected": (256, 20000, 100000),
    "resnet18k": (8, 1400, 5800),
}


def _slower(network, width, depth):
    factor = (width / _SPEEDS[network][0]) ** 1.3
    return factor * ((depth or 10) / 10 if network.startswith("wide_resnet") else 1)


def estimate(settings):
    """Seconds that a run takes on two cores; an estimate."""
    _, train_rate, test_rate = _SPEEDS[settings.network]
    slower = _slower(settings.network, settings.width, settings.depth)
    images = settings.train_size * settings.epochs
    seconds = images / train_rate * slower * (2 if settings.sam_radius else 1)
    if settings.teacher:
        teacher_slower = _slower(settings.teacher, settings.teacher_width, settings.depth)
        seconds += images / _SPEEDS[settings.teacher][2] * teacher_slower
    planes = settings.num_triplets + 3 * settings.num_fragmentation_triplets + 2 * settings.num_random_planes
    points = planes * settings.resolution**2
    points += len(PICTURES[settings.pictures]) * settings.picture_resolution**2
    # A margin takes some 600 points, a random image ten gradients.
    points += 3 * 600 * settings.num_margin_images + 30 * settings.num_random_images
    return 15 + seconds + points / test_rate * slower


def runs_of_figure(name, scale):
    """Returns the settings of every run of a figure, each once; figures share runs.

    Args:
        name: A key of `STUDY.figures`.
        scale: "paper": the published protocol; "laptop": fewer images and planes, narrow networks, and what
            must change with them; "smoke": seconds, on synthetic images, for tests.
    """
    return list(dict.fromkeys(Settings(**values) for values in FIGURES[name](scale)))


STUDY = Study(
    name="somepalli_boundaries",
    settings=Settings,
    protocol_version=PROTOCOL_VERSION,
    figures=tuple(FIGURES),
    runs_of_figure=runs_of_figure,
    estimate=estimate,
    compiles_once_over="seed",
    images=True,
    min_seeds=MIN_SEEDS,
    network_sizes=NETWORK_SIZES,
    usage="Two saved models of your own: python -m launch.compare --models=A.keras,B.keras",
    named_by="network width optimizer sam_radius mixup label_noise teacher num_train seed",
    keeps_array=lambda settings, name: name != "batch_losses",
    earlier_names=EARLIER_NAMES,
)
