import pytest

from common.models.convnet import convnet


@pytest.mark.parametrize(
    ("width", "count", "count_with_batch_norm"),
    [
        (1, 510, 540),
        (10, 39_030, 39_330),
        (15, 86_890, 87_340),
        (18, 124_678, 125_218),
        (64, 1_556_106, 1_558_026),
    ],
)
def test_number_of_parameters(num_parameters, width, count, count_with_batch_norm):
    assert num_parameters(convnet(width)) == count
    assert num_parameters(convnet(width, batch_norm=True)) == count_with_batch_norm


@pytest.mark.parametrize(("width", "count"), [(15, 97_780), (64, 1_602_276)])
def test_number_of_parameters_for_100_classes(num_parameters, width, count):
    assert num_parameters(convnet(width, num_classes=100)) == count


def test_forward_pass_with_average_pooling(check_forward, num_parameters):
    def forward(network, x):
        for i, pool in enumerate([1, 2, 2], start=1):
            x = network.relu(network.conv(x, f"conv{i}"))
            side = x.shape[1] // pool
            x = x.reshape(2, side, pool, side, pool, -1).mean(axis=(2, 4))
        x = network.relu(network.conv(x, "conv4")).mean(axis=(1, 2))
        return network.dense(x, "logits")

    network = convnet(2, num_classes=4, pooling="average")
    check_forward(network, forward)
    assert num_parameters(network) == num_parameters(convnet(2, num_classes=4))
    with pytest.raises(ValueError, match="`pooling` must be one of"):
        convnet(2, pooling="median")


@pytest.mark.parametrize("batch_norm", [False, True])
def test_forward_pass_is_that_of_numpy(check_forward, batch_norm):
    def forward(network, x):
        for i, pool in enumerate([1, 2, 2, 8], start=1):
            x = network.conv(x, f"conv{i}")
            if batch_norm:
                x = network.bn(x, f"conv{i}_bn")
            x = network.max_pool(network.relu(x), pool)
        return network.dense(x.reshape(2, -1), "logits")

    check_forward(convnet(2, num_classes=4, batch_norm=batch_norm), forward)
