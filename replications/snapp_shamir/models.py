"""The networks of Snapp & Shamir 2021: figures 1 and 5, sections 4 to 6.

`build` makes one ordinary Keras model or an ensemble of them; both hold the same weights in the same order,
the ensemble's with a leading models axis.
"""

import keras

from common.layers.activations import LAYERS
from common.layers.ensemble import EmbeddingSum, EnsembleDense
from replications.snapp_shamir.published import SMOOTH
from replications.snapp_shamir.sizes import HIDDEN_UNITS, NUM_FEATURES, weight_shapes


def _activation(settings, dtype):
    if settings.activation in SMOOTH:
        return LAYERS[settings.activation](settings.beta, dtype=dtype)
    return "linear" if settings.activation == "identity" else settings.activation


def build(settings, num_models=None, dtype="float32"):
    """Returns the Keras model of `settings`, from 32 features to one logit.

    Args:
        settings: Resolved Settings.
        num_models: None for one ordinary model, (batch, 32) -> (batch, 1); a number for an ensemble,
            (num_models, batch, 32) -> (num_models, batch, 1).
        dtype: Weights and arithmetic.
    """

    def dense(units, activation=None):
        if num_models is None:
            return keras.layers.Dense(units, activation=activation, dtype=dtype)
        return EnsembleDense(num_models, units, activation=activation, dtype=dtype)

    layers = [dense(units, _activation(settings, dtype)) for units in HIDDEN_UNITS[settings.model]]
    if settings.model == "wide":
        # Section 5: two sets of 16 features, each feature a two-dimensional embedding.
        layers.insert(0, EmbeddingSum(num_sets=2, dim=2, num_models=num_models, dtype=dtype))
    batch_shape = (None, NUM_FEATURES) if num_models is None else (num_models, None, NUM_FEATURES)
    return keras.Sequential([keras.Input(batch_shape=batch_shape), *layers, dense(1)])


def initial_weights(settings, streams, pair, member):
    """One model's initial weights: Glorot-uniform kernels, zero biases, embeddings uniform in +-0.05.

    The paper names no initialization; these are Keras's defaults. Identically initialized members share
    the stream of member 0 (section 2, "Training").
    """
    index = member if settings.init == "distinct" else 0
    weights = []
    for position, shape in enumerate(weight_shapes(settings)):
        seed = streams.integer("init", pair, index, position)
        if len(shape) == 3:
            initializer = keras.initializers.RandomUniform(-0.05, 0.05, seed=seed)
        elif len(shape) == 2:
            initializer = keras.initializers.GlorotUniform(seed=seed)
        else:
            initializer = keras.initializers.Zeros()
        weights.append(keras.ops.convert_to_numpy(initializer(shape, dtype="float32")))
    return weights
