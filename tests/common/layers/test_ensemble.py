import keras
import numpy as np
import pytest
import tensorflow as tf

from common.layers.activations import SmeLU
from common.layers.ensemble import EmbeddingSum, EnsembleDense, matmul_per_model

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("units", [1, 2, 4, 5, 16])
def test_matmul_per_model_equals_numpy(units):
    x, kernel = RNG.normal(size=(3, 7, 6)), RNG.normal(size=(3, 6, units))
    np.testing.assert_allclose(matmul_per_model(x, kernel), x @ kernel, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("batch", [1, 7, 65])
@pytest.mark.parametrize("inputs", [1, 2, 8, 20, 65])
@pytest.mark.parametrize("units", [1, 2, 3, 16, 17])
def test_matmul_per_model_and_its_gradients_equal_numpy_in_every_form(batch, inputs, units):
    """Which form is taken depends on the three sizes; the gradients are those of sum(products * weights)."""
    x, kernel = RNG.normal(size=(3, batch, inputs)), RNG.normal(size=(3, inputs, units))
    weights = RNG.normal(size=(3, batch, units))
    x[0, 0, 0] = 0.0
    variables = [tf.Variable(x), tf.Variable(kernel)]
    with tf.GradientTape() as tape:
        products = matmul_per_model(*variables)
    of_x, of_kernel = tape.gradient(products, variables, tf.constant(weights))
    tolerances = {"rtol": 1e-11, "atol": 1e-12}
    np.testing.assert_allclose(products, x @ kernel, **tolerances)
    np.testing.assert_allclose(of_x, weights @ kernel.swapaxes(1, 2), **tolerances)
    np.testing.assert_allclose(of_kernel, x.swapaxes(1, 2) @ weights, **tolerances)


@pytest.mark.parametrize("batch", [0, None])
@pytest.mark.parametrize("units", [1, 3, 16])
def test_a_batch_of_no_examples_has_gradients_of_zero(batch, units):
    layer = EnsembleDense(2, units)
    layer.build((2, None, 4))

    @tf.function(input_signature=[tf.TensorSpec((2, batch, 4))])
    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x))
        return tape.gradient(total, [x, layer.kernel.value, layer.bias.value])

    of_x, of_kernel, of_bias = gradients(tf.zeros((2, 0, 4)))
    assert of_x.shape == (2, 0, 4)
    np.testing.assert_array_equal(of_kernel, np.zeros((2, 4, units)))
    np.testing.assert_array_equal(of_bias, np.zeros((2, units)))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_float16"])
def test_whole_numbers_are_taken_as_floats(dtype, policy):
    """In every form of the product, which depends on the sizes."""
    for batch, units in ((3, 2), (3, 1), (3, 20), (70, 2), (70, 20)):
        x = RNG.integers(0, 2, (2, batch, 4)).astype(dtype)
        dense = EnsembleDense(2, units, dtype=policy)
        for layer in (dense, EmbeddingSum(2, units, 2, dtype=policy), EmbeddingSum(2, units, dtype=policy)):
            found = layer(x)
            assert found.dtype == layer.compute_dtype
            np.testing.assert_array_equal(found, layer(x.astype(layer.compute_dtype)))


def test_ones_of_whole_numbers_by_hand():
    layer = EnsembleDense(2, 2, kernel_initializer="ones", bias_initializer="ones")
    np.testing.assert_array_equal(layer(np.ones((2, 3, 4), "int32")), np.full((2, 3, 2), 5.0))


def test_a_model_that_is_not_finite_leaves_the_others_alone():
    x, kernel = RNG.normal(size=(2, 7, 4)), RNG.normal(size=(2, 4, 3))
    x[0] = np.nan
    products = matmul_per_model(x, kernel)
    np.testing.assert_allclose(products[1], x[1] @ kernel[1], rtol=1e-12, atol=1e-13)
    assert np.isnan(products[0]).all()


@pytest.mark.parametrize("units", [2, 8])
def test_ensemble_dense_is_dense_per_model(units):
    layer = EnsembleDense(3, units, activation="relu", bias_initializer="ones", dtype="float64")
    x = RNG.normal(size=(3, 5, 4))
    outputs = keras.ops.convert_to_numpy(layer(x))
    for m in range(3):
        dense = keras.layers.Dense(units, activation="relu", dtype="float64")
        dense.build((None, 4))
        dense.set_weights([layer.kernel[m], layer.bias[m]])
        np.testing.assert_allclose(outputs[m], dense(x[m]), rtol=1e-12, atol=1e-13)
    assert layer.compute_output_shape((3, None, 4)) == (3, None, units)


def test_initializer_draws_each_model_as_an_ordinary_layer():
    layer = EnsembleDense(2, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=5))
    layer.build((2, None, 7))
    for m in range(2):
        expected = keras.initializers.GlorotUniform(seed=5 + m)((7, 3))
        np.testing.assert_array_equal(layer.kernel[m], expected)


@pytest.mark.parametrize(
    "initializer",
    [
        lambda: keras.initializers.GlorotUniform(),
        lambda: keras.initializers.GlorotUniform(seed=keras.random.SeedGenerator(1)),
        lambda: lambda shape, dtype=None: keras.random.uniform(shape, dtype=dtype),
    ],
)
def test_models_differ_whatever_draws_their_weights(initializer):
    layer = EnsembleDense(3, 2, kernel_initializer=initializer())
    layer.build((3, None, 5))
    assert len(np.unique(layer.kernel.numpy())) == 3 * 5 * 2


def test_embedding_sum_by_hand():
    layer = EmbeddingSum(num_sets=2, dim=2)
    layer.build((None, 4))
    layer.set_weights([np.array([[[1, 2], [3, 4]], [[10, 20], [30, 40]]])])
    x = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]])
    assert layer(x).numpy().tolist() == [[4, 6, 30, 40], [0, 0, 0, 0], [3, 4, 10, 20]]


def test_embedding_sum_needs_to_know_its_features():
    with pytest.raises(ValueError, match="number of input features must be known"):
        EmbeddingSum(2, 3)(keras.Input((None,)))


def test_embedding_sum_of_an_ensemble_is_one_per_model():
    layer = EmbeddingSum(num_sets=2, dim=3, num_models=2, dtype="float64")
    x = RNG.integers(0, 2, size=(2, 9, 8)).astype(np.float64)
    outputs = layer(x).numpy()
    for m in range(2):
        single = EmbeddingSum(num_sets=2, dim=3, dtype="float64")
        single.build((None, 8))
        single.set_weights([layer.embeddings[m]])
        np.testing.assert_allclose(outputs[m], single(x[m]), rtol=1e-12)
    assert abs(layer.embeddings.numpy()).max() <= 0.05
    assert (layer.embeddings[0] != layer.embeddings[1]).numpy().any()


@pytest.mark.parametrize(
    "layer,shape",
    [
        (EnsembleDense(2, 3, activation=SmeLU(0.5), kernel_initializer="he_normal"), (2, 5, 4)),
        (EmbeddingSum(2, 3, num_models=2), (2, 5, 4)),
        (EmbeddingSum(2, 3, embeddings_initializer="zeros"), (5, 4)),
    ],
)
def test_config_and_saving_round_trip(layer, shape, tmp_path):
    model = keras.Sequential([keras.Input(batch_shape=shape), layer])
    x = RNG.normal(size=shape).astype(np.float32)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.layers[0].get_config() == layer.get_config()


def test_training_an_ensemble_is_training_each_model():
    x, y = RNG.normal(size=(2, 32, 4)), RNG.normal(size=(2, 32, 1))
    layer = EnsembleDense(2, 1, dtype="float64")
    model = keras.Sequential([keras.Input(batch_shape=(2, 32, 4)), layer])
    start = [w.copy() for w in model.get_weights()]
    model.compile(keras.optimizers.Adam(0.1), lambda t, p: 2 * keras.ops.mean((t - p) ** 2))
    for _ in range(5):
        model.train_on_batch(x, y)
    for m in range(2):
        alone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, dtype="float64")])
        alone.set_weights([w[m] for w in start])
        alone.compile(keras.optimizers.Adam(0.1), lambda t, p: keras.ops.mean((t - p) ** 2))
        for _ in range(5):
            alone.train_on_batch(x[m], y[m])
        np.testing.assert_allclose(layer.kernel[m], alone.get_weights()[0], rtol=1e-6)


def test_fit_on_batches_of_all_models_trains_each_alone():
    x, y = RNG.normal(size=(6, 3, 8, 4)), RNG.normal(size=(6, 3, 8, 1))  # batches, models, examples, features
    model = keras.Sequential([keras.Input((None, 4)), EnsembleDense(3, 1, dtype="float64")])
    start = model.get_weights()
    model.compile("sgd", lambda t, p: 3 * keras.ops.mean((t - p) ** 2, axis=(1, 2)))
    model.fit(tf.data.Dataset.from_tensor_slices((x, y)), epochs=2, shuffle=False, verbose=0)
    for m in range(3):
        alone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, dtype="float64")])
        alone.set_weights([weight[m] for weight in start])
        alone.compile("sgd", "mse")
        alone.fit(x[:, m].reshape(-1, 4), y[:, m].reshape(-1, 1), 8, epochs=2, shuffle=False, verbose=0)
        for ours, theirs in zip(model.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_allclose(ours[m], theirs, rtol=1e-6)


def test_integers_of_numpy_are_integers():
    dense = EnsembleDense(np.int64(2), np.uint8(3))
    embedding = EmbeddingSum(np.int32(2), np.int64(3), num_models=np.int64(2))
    names = "num_models", "units", "num_sets", "dim"
    sizes = [
        config[n] for config in (dense.get_config(), embedding.get_config()) for n in names if n in config
    ]
    assert sizes == [2, 3, 2, 2, 3] and all(type(size) is int for size in sizes)


def test_the_wrong_number_of_models_is_refused_after_building():
    for layer in (EnsembleDense(3, 2), EmbeddingSum(2, 2, num_models=3)):
        layer.build((3, None, 4))
        with pytest.raises(ValueError, match=r"num_models=3. Received: input_shape=\(1, 5, 4\)"):
            layer(np.ones((1, 5, 4)))


def test_surplus_inputs_are_refused():
    dense, embedding = EnsembleDense(2, 5), EmbeddingSum(2, 3, num_models=2)
    dense.build((2, None, 3)), embedding.build((2, None, 6))
    for layer, width in ((dense, 4), (embedding, 8)):
        with pytest.raises(ValueError, match=r"must fit the kernel \(models, in, units\)"):
            layer(np.ones((2, 4, width)))
    with pytest.raises(ValueError, match="must fit the kernel"):
        matmul_per_model(np.ones((3, 4, 3)), np.ones((2, 3, 5)))


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: EnsembleDense(0, 1), "`num_models` must be a positive integer.*Received: num_models=0"),
        (lambda: EnsembleDense(1, 2.5), "`units` must be a positive integer.*Received: units=2.5"),
        (lambda: EmbeddingSum(2, True), "`dim` must be a positive integer.*Received: dim=True"),
        (lambda: EmbeddingSum(3, 2).build((None, 4)), "equal sets.*Received: num_sets=3"),
        (lambda: EnsembleDense(3, 2).build((2, 5, 4)), r"num_models=3.*Received: input_shape=\(2, 5, 4\)"),
        (lambda: EnsembleDense(3, 2).build((5, 4)), r"Received: input_shape=\(5, 4\)"),
    ],
)
def test_invalid_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
