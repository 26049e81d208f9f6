import numpy as np

from common.models.densenet import densenet


def test_number_of_parameters(num_parameters):
    assert num_parameters(densenet()) == 6_956_298


def test_forward_pass_is_that_of_numpy(check_forward):
    def activated_conv(network, x, name):
        return network.conv(network.relu(network.bn(x, f"{name}_bn")), name)

    def forward(network, x):
        x = network.conv(x, "stem")
        for block, num_layers in ((1, 2), (2, 1)):
            if block == 2:
                x = activated_conv(network, x, "transition1")
                x = network.windows(x, 2, 2, (0, 0), 0.0).mean(axis=(-2, -1))
            for i in range(1, num_layers + 1):
                name = f"block{block}_layer{i}"
                y = activated_conv(network, activated_conv(network, x, f"{name}_1x1"), f"{name}_3x3")
                x = np.concatenate([y, x], axis=-1)
        x = network.relu(network.bn(x, "final_bn"))
        return network.dense(x.mean(axis=(1, 2)), "logits")

    model = densenet(growth=3, blocks=(2, 1), input_shape=(8, 8, 3), num_classes=4)
    # 2 * 3 + 2 * 3 = 12, halved 6, + 3 = 9 channels.
    assert model.get_layer("logits").kernel.shape == (9, 4)
    check_forward(model, forward)
