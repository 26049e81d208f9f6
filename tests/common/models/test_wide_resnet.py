import math

import numpy as np
import pytest

from common.models.initialization import draw_weights
from common.models.wide_resnet import wide_resnet
from common.streams import Streams


def test_number_of_parameters(num_parameters):
    # Every weight's size is a product of at most two numbers affine in the width factor, so the count is
    # a quadratic, which three small factors pin: the large models need not be allocated.
    small = [num_parameters(wide_resnet(factor)) for factor in (2, 3, 4)]
    second = small[2] - 2 * small[1] + small[0]
    counts = {
        factor: small[0] + (small[1] - small[0]) * (factor - 2) + second * math.comb(factor - 2, 2)
        for factor in (10, 20, 30)
    }
    assert counts == {10: 36_479_194, 20: 145_815_514, 30: 328_009_434}


@pytest.mark.slow
def test_number_of_parameters_of_the_built_model(num_parameters):
    assert num_parameters(wide_resnet(10)) == 36_479_194


@pytest.mark.parametrize(("width_factor", "depth"), [(1, 10), (2, 16)])
def test_forward_pass_is_that_of_numpy(check_forward, width_factor, depth):
    def forward(network, x):
        x = network.conv(x, "stem")
        for stage in (1, 2, 3):
            for i in range(1, (depth - 4) // 6 + 1):
                name = f"stage{stage}_block{i}"
                strides = 2 if stage > 1 and i == 1 else 1
                activated = network.relu(network.bn(x, f"{name}_bn1"))
                # The first stage keeps its 16 channels if the width factor is 1.
                if i == 1 and (stage > 1 or width_factor > 1):
                    x = network.conv(activated, f"{name}_shortcut", strides)
                y = network.conv(activated, f"{name}_conv1", strides)
                y = network.conv(network.relu(network.bn(y, f"{name}_bn2")), f"{name}_conv2")
                x = x + y
        x = network.relu(network.bn(x, "final_bn"))
        return network.dense(x.mean(axis=(1, 2)), "logits")

    check_forward(wide_resnet(width_factor, depth, (8, 8, 3), num_classes=4), forward)


def test_initial_weights():
    model = wide_resnet(2, depth=10)
    draw_weights(model, Streams(0))
    for weight in model.weights:
        value = np.asarray(weight)
        if weight.name == "kernel" and value.ndim == 4:
            fan_out = math.prod(value.shape[:2]) * value.shape[-1]
            assert value.std() == pytest.approx(math.sqrt(2 / fan_out), rel=0.15)
            assert np.abs(value).max() > 2.5 * value.std()  # neither truncated nor uniform
    kernel, bias = map(np.asarray, model.get_layer("logits").weights)
    assert np.abs(kernel).max() == pytest.approx(1 / math.sqrt(128), rel=0.05)
    assert not bias.any()


@pytest.mark.parametrize("depth", [4, 9, 27])
def test_invalid_depth(depth):
    with pytest.raises(ValueError, match=f"4 plus a positive multiple of 6. Received: depth={depth}$"):
        wide_resnet(1, depth)
