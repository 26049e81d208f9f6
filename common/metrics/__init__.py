"""Measured quantities, one a file; import them from there, such as `metrics.plane`.

Those that need NumPy alone (reproducibility, fragmentation) load no TensorFlow: pictures and claims use them.
"""
