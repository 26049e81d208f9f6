"""What two or more papers share: layers, models, metrics, data, training and the run machinery."""
