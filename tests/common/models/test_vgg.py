from common.models.vgg import vgg19


def test_number_of_parameters(num_parameters):
    assert num_parameters(vgg19()) == 20_040_522


def test_forward_pass_is_that_of_numpy(check_forward):
    def forward(network, x):
        for stage, num_convolutions in enumerate([2, 2, 4, 4, 4], start=1):
            for i in range(1, num_convolutions + 1):
                name = f"stage{stage}_conv{i}"
                x = network.relu(network.bn(network.conv(x, name), f"{name}_bn"))
            x = network.max_pool(x, 2)
        return network.dense(x.reshape(2, -1), "logits")

    check_forward(vgg19(2, num_classes=4), forward)
