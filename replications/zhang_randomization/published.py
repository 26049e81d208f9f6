"""The numbers that Zhang et al. 2017 and EE-411 print, in percent, and the names they give to networks."""

import dataclasses

CHANCE = 10.0
NETWORK_NAMES = {
    "inception": "Inception",
    "alexnet": "AlexNet",
    "mlp_3x512": "MLP 3x512",
    "mlp_1x512": "MLP 1x512",
    "theorem_1": "network of theorem 1",
    "gaussian_kernel": "Gaussian kernel",
}


@dataclasses.dataclass(frozen=True)
class TableRow:
    """A row of Zhang et al.'s table 1: accuracies in percent."""

    network: str
    batch_norm: bool
    crop: bool
    decay: bool
    random_labels: bool
    train: float
    test: float

    @property
    def settings(self):
        """The settings that a run of this row has."""
        return {
            "network": self.network,
            "batch_norm": "all" if self.batch_norm else "none",
            "augmentation": "random_crop" if self.crop else "central_crop",
            "decay_weights": self.decay,
            "condition": "random_labels" if self.random_labels else "true_labels",
        }

    @property
    def group(self):
        """The network as table 1 names it."""
        return NETWORK_NAMES[self.network] + " without BN" * (not self.batch_norm)

    @property
    def variant(self):
        """What else the row says, such as "crop, weight decay"."""
        words = ["crop"] * self.crop + ["weight decay"] * self.decay + ["random labels"] * self.random_labels
        return ", ".join(words) or "no regularizer"

    @property
    def name(self):
        """Network and variant."""
        return f"{self.group} ({self.variant})"


TABLE_1 = tuple(
    TableRow(*row)
    for row in (
        # network, batch normalization, crop, weight decay, random labels, train, test
        ("inception", True, True, True, False, 100.00, 89.05),
        ("inception", True, True, False, False, 100.00, 89.31),
        ("inception", True, False, True, False, 100.00, 86.03),
        ("inception", True, False, False, False, 100.00, 85.75),
        ("inception", True, False, False, True, 100.00, 9.78),
        ("inception", False, False, True, False, 100.00, 83.00),
        ("inception", False, False, False, False, 100.00, 82.00),
        ("inception", False, False, False, True, 100.00, 10.12),
        ("alexnet", True, True, True, False, 99.90, 81.22),
        ("alexnet", True, True, False, False, 99.82, 79.66),
        ("alexnet", True, False, True, False, 100.00, 77.36),
        ("alexnet", True, False, False, False, 100.00, 76.07),
        ("alexnet", True, False, False, True, 99.82, 9.86),
        ("mlp_3x512", True, False, True, False, 100.00, 53.35),
        ("mlp_3x512", True, False, False, False, 100.00, 52.39),
        ("mlp_3x512", True, False, False, True, 100.00, 10.48),
        ("mlp_1x512", True, False, True, False, 99.80, 50.39),
        ("mlp_1x512", True, False, False, False, 100.00, 50.51),
        ("mlp_1x512", True, False, False, True, 99.34, 10.61),
    )
)


def table_row(**settings):
    """Returns the row of table 1 with these settings: crop, decay and so on.

    Raises:
        LookupError: There is none, or more than one.
    """
    found = [row for row in TABLE_1 if all(getattr(row, name) == v for name, v in settings.items())]
    if len(found) != 1:
        raise LookupError(f"Not one row of table 1 but {len(found)}. Received: {settings}")
    return found[0]


# EE-411, section V.A: test accuracy after 50 epochs without regularizer and with weight decay.
EE411_NO_REGULARIZER, EE411_WEIGHT_DECAY = 87.2, 88.9
# EE-411, section V.B: how much better than batch normalization in the downsample modules only; the report
# does not name the model that its "2 %" refers to.
EE411_BATCH_NORM_GAIN = 2.0
# Zhang et al., section 5: test error of kernel least squares on raw pixels.
KERNEL_ERROR = 46.0
