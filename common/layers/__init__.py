"""Keras layers and activation functions.

Importing this package registers all that a saved model may hold of this library, metrics and schedules too.
"""

from ..metrics import excess_label_loss, prediction_difference  # noqa: F401
from ..training import schedules  # noqa: F401
from .activations import SmeLU, Swish, smelu, swish
from .attention import ClassTokenAndPositions, SelfAttention
from .batch_normalization import FusedBatchNormalization
from .dropout import ReplicaDropout
from .ensemble import EmbeddingSum, EnsembleDense
from .local_response_normalization import LocalResponseNormalization

__all__ = [
    "ClassTokenAndPositions",
    "EmbeddingSum",
    "EnsembleDense",
    "FusedBatchNormalization",
    "LocalResponseNormalization",
    "ReplicaDropout",
    "SelfAttention",
    "SmeLU",
    "Swish",
    "smelu",
    "swish",
]
