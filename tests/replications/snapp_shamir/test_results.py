import numpy as np

from replications.snapp_shamir import results


class Run:
    """What the functions under test need of a record."""

    def __init__(self, *layers, theta=None):
        self.arrays = {f"weights_{i}": np.asarray(layer, np.float64) for i, layer in enumerate(layers)}
        self.arrays["theta"] = theta


def test_cosines_by_hand():
    a = np.array([[1.0, 0.0], [3.0, 4.0], [1.0, 1.0], [0.0, 0.0]])
    b = np.array([[0.0, 2.0], [-3.0, -4.0], [1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(results.cosines(a, b), [0, -1, np.sqrt(0.5), 0])


def test_the_linear_models_errors_are_compared_after_subtracting_theta():
    # Errors (1, 0) and (1, 1): cosine 1 / sqrt(2); errors (0, 2) and (0, -1): -1.
    theta = np.array([10.0, 20.0])
    kernel = [[[[11], [20]], [[11], [21]]], [[[10], [22]], [[10], [19]]]]
    run = Run(kernel, np.zeros((2, 2, 1)), theta=theta)
    np.testing.assert_allclose(results.error_cosines(run), [np.sqrt(0.5), -1])


def test_weights_are_indexed_unit_after_unit():
    kernel = np.array([[1, 2], [3, 4], [5, 6]])  # three inputs, two units
    layers = [kernel, np.array([7, 8]), np.array([[9], [10]]), np.array([11])]
    run = Run(*(np.stack([layer, -layer])[None] for layer in layers))
    indexed = results.indexed_weights(run)
    assert indexed.shape == (1, 2, 11)
    assert indexed[0, 0].tolist() == [1, 3, 5, 2, 4, 6, 7, 8, 9, 10, 11]
    assert indexed[0, 1].tolist() == (-indexed[0, 0]).tolist()


def test_root_mean_square_differences_by_hand():
    a = np.zeros((3, 1, 2, 1))
    b = np.array([[1.0, 3.0], [2.0, -2.0], [-4.0, 6.0]])[:, None, :, None]  # mean squares: 5, 4, 26
    run = Run(np.concatenate([a, b], axis=1))
    np.testing.assert_allclose(results.root_mean_square_differences(run) ** 2, [5, 4, 26])


def test_first_layers_of_opposite_signs():
    kernel = np.array([1.0, 2.0, -3.0])[:, None]
    run = Run(np.stack([np.stack([kernel, kernel]), np.stack([kernel, -2 * kernel])]))
    np.testing.assert_allclose(results.member_cosines(run), [1, -1])


def test_embeddings_are_correlated_about_their_means():
    rising = np.arange(4.0).reshape(2, 2, 1)
    run = Run([[rising, 5 + 2 * rising], [rising, 3 - rising], [rising, np.ones((2, 2, 1))]])
    np.testing.assert_allclose(results.embedding_correlations(run), [1, -1, 0])
