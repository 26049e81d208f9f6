"""How many floating-point operations a network takes, as TensorFlow's profiler counts them in its graph."""

import keras
import tensorflow as tf

# A training step also computes the gradients of activations and of weights, about as much again each.
FORWARD_AND_BACKWARD = 3


def training_operations(model: keras.Model) -> float:
    """Returns the floating-point operations of one example in a training step, about.

    Args:
        model: A Keras model of one input, whose first axis is that of the examples.
    """
    example = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    graph = tf.function(lambda inputs: model(inputs, training=False)).get_concrete_function(example).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    counted = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    return float(FORWARD_AND_BACKWARD * counted.total_float_ops)
