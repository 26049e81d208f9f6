import numpy as np

from common.layers import ReplicaDropout
from common.models.alexnet import small_alexnet


def test_number_of_parameters(num_parameters):
    assert num_parameters(small_alexnet()) == 1_387_786


def test_forward_pass_is_that_of_numpy(check_forward):
    def normalize(x):
        sums = np.stack([np.sum(x[..., max(c - 4, 0) : c + 5] ** 2, -1) for c in range(64)], -1)
        return x / (1 + 0.001 / 9 * sums) ** 0.75

    def forward(network, x):
        for i in (1, 2):
            x = network.relu(network.conv(x, f"conv{i}"))
            # "same" pads an even image by one row and column, after it.
            x = normalize(network.max_pool(x, 3, 2, (0, 1)))
        x = x.reshape(2, -1)
        for i in (1, 2):
            x = network.relu(network.dense(x, f"dense{i}"))
        return network.dense(x, "logits")

    check_forward(small_alexnet((8, 8, 3), num_classes=4), forward)


def test_dropout_stands_before_each_dense_layer():
    model = small_alexnet(dropout=0.05)
    drops = [layer for layer in model.layers if isinstance(layer, ReplicaDropout)]
    assert [layer.name for layer in drops] == ["dense1_dropout", "dense2_dropout", "logits_dropout"]
    for layer in drops:
        assert layer.rate == 0.05
        following = model.get_layer(layer.name.removesuffix("_dropout"))
        assert following.input is layer.output
    assert not any(isinstance(layer, ReplicaDropout) for layer in small_alexnet().layers)
