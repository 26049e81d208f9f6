"""What two or more papers share: layers, models, metrics, data, training and the run machinery."""

__version__ = "0.2.0"
