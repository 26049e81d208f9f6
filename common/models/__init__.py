"""Architectures as plain Keras functional models, one a file; all end in float32 logits."""
