"""Keras layers and activation functions."""

from common.layers.activations import SmeLU, Swish, smelu, swish
from common.layers.ensemble import EmbeddingSum, EnsembleDense

__all__ = ["EmbeddingSum", "EnsembleDense", "SmeLU", "Swish", "smelu", "swish"]
