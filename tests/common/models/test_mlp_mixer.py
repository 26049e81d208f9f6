import pytest

from common.models.mlp_mixer import mlp_mixer


def test_number_of_parameters(num_parameters):
    assert num_parameters(mlp_mixer()) == 25_649_418


def test_forward_pass_is_that_of_numpy(check_forward):
    def perceptron(network, x, name):
        return network.dense(network.gelu(network.dense(x, f"{name}_dense1")), f"{name}_dense2")

    def forward(network, images):
        x = network.patches(images, 4)
        for i in (1, 2):
            name = f"layer{i}_tokens"
            x = x + perceptron(network, network.ln(x, f"{name}_ln").swapaxes(1, 2), name).swapaxes(1, 2)
            name = f"layer{i}_channels"
            x = x + perceptron(network, network.ln(x, f"{name}_ln"), name)
        return network.dense(network.ln(x, "final_ln").mean(axis=1), "logits")

    model = mlp_mixer(dim=6, depth=2, expansion=3, input_shape=(8, 12, 3), num_classes=4)
    assert model.get_layer("layer1_tokens_dense1").kernel.shape == (6, 18)  # 2 * 3 patches
    check_forward(model, forward)


def test_patches_must_fit():
    with pytest.raises(ValueError, match="divide the 32x32 images. Received: patch_size=5$"):
        mlp_mixer(patch_size=5)
