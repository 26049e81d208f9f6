import pytest

from replications.somepalli_boundaries.networks import build_network
from replications.somepalli_boundaries.published import WIDE_RESNET_DEPTH, WIDTHS

# Somepalli et al. 2022 give no counts; these follow from the released definitions, and are those that layers
# of these sizes have.
TRAINABLE = {
    "wide_resnet_10": 36_479_194,
    "resnet18": 11_173_962,
    "densenet121": 6_956_298,
    "vgg19": 20_040_522,
    "vit": 9_523_722,
    "mlp_mixer": 25_649_418,
    "fully_connected": 3_819_978,
    "resnet18k": 11_171_146,
}


@pytest.mark.parametrize("network", [pytest.param(n, marks=pytest.mark.slow) for n in TRAINABLE])
def test_published_sizes(network):
    model = build_network(network, WIDTHS[network], WIDE_RESNET_DEPTH)
    assert sum(v.shape.num_elements() for v in model.trainable_variables) == TRAINABLE[network]


@pytest.mark.parametrize(
    "width,count", [(1, 2_947), (4, 44_446), (7, 134_977), (10, 274_540), (20, 1_093_870)]
)
def test_sizes_over_the_width(width, count):
    model = build_network("resnet18k", width)
    assert sum(v.shape.num_elements() for v in model.trainable_variables) == count


@pytest.mark.parametrize("network,width", [("vit", 16), ("fully_connected", 32), ("mlp_mixer", 8)])
def test_narrow_networks_take_images_to_logits(network, width):
    model = build_network(network, width, num_classes=7)
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 7)
