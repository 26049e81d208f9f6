"""Keras layers and activation functions."""

from common.layers.activations import SmeLU, Swish, smelu, swish

__all__ = ["SmeLU", "Swish", "smelu", "swish"]
