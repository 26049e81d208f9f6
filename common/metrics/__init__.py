"""Measured quantities, one a file: a NumPy function in float64 and a Keras metric where it fits."""

from common.metrics.excess_label_loss import ExcessLabelLoss, excess_label_loss
from common.metrics.prediction_difference import (
    RelativePredictionDifference,
    relative_prediction_difference,
)

__all__ = [
    "ExcessLabelLoss",
    "RelativePredictionDifference",
    "excess_label_loss",
    "relative_prediction_difference",
]
