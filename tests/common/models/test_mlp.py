import pytest

from common.models.mlp import mlp


@pytest.mark.parametrize(
    ("input_shape", "hidden_units", "count"),
    [
        ((28, 28, 3), (512,), 1_209_866),
        ((28, 28, 3), (512, 512, 512), 1_735_178),
        ((32, 32, 3), (1024, 512, 256, 64), 3_819_978),
        ((4,), (), 50),
    ],
)
def test_number_of_parameters(num_parameters, input_shape, hidden_units, count):
    assert num_parameters(mlp(input_shape, hidden_units)) == count


def test_forward_pass_is_that_of_numpy(check_forward):
    def forward(network, images):
        x = images.reshape(2, -1)
        for i in (1, 2):
            x = network.relu(network.dense(x, f"dense{i}"))
        return network.dense(x, "logits")

    check_forward(mlp((3, 4, 2), (7, 5), num_classes=3), forward)
