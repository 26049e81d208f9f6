"""Keras layers and activation functions."""

from .activations import SmeLU, Swish, smelu, swish
from .dropout import ReplicaDropout
from .ensemble import EmbeddingSum, EnsembleDense
from .local_response_normalization import LocalResponseNormalization

__all__ = [
    "EmbeddingSum",
    "EnsembleDense",
    "LocalResponseNormalization",
    "ReplicaDropout",
    "SmeLU",
    "Swish",
    "smelu",
    "swish",
]
