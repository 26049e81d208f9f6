"""Figures of the papers and of ours, from run records alone; nothing here trains or loads TensorFlow."""
