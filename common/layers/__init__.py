"""Keras layers and activation functions."""

from common.layers.activations import SmeLU, Swish, smelu, swish
from common.layers.dropout import ReplicaDropout
from common.layers.ensemble import EmbeddingSum, EnsembleDense
from common.layers.local_response_normalization import LocalResponseNormalization

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
