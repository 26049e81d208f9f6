"""The networks of Somepalli et al. 2022 at any width; those of the published widths have its exact sizes."""

from common.models.densenet import densenet
from common.models.mlp import mlp
from common.models.mlp_mixer import mlp_mixer
from common.models.resnet import resnet18, resnet18k
from common.models.vgg import vgg19
from common.models.vit import vit
from common.models.wide_resnet import wide_resnet

IMAGE_SHAPE = (32, 32, 3)
_VIT_HEADS = 8
# Each layer of the fully connected network as a part of the first: 1024, 512, 256, 64.
_DIVISORS = (1, 2, 4, 16)


def build_network(network, width, depth=None, num_classes=10):
    """Returns the Keras model of a network, from (batch, 32, 32, 3) images to logits.

    Args:
        network: A key of `published.NETWORK_NAMES`.
        width: Its width, in the unit of `published.WIDTHS`.
        depth: Number of layers of a Wide ResNet.
        num_classes: Number of logits.

    Reference: Somepalli et al. 2022; somepago/dbViz, models and double-descent/models.
    """
    if network.startswith("wide_resnet"):
        return wide_resnet(width, depth, IMAGE_SHAPE, num_classes)
    shared = {"input_shape": IMAGE_SHAPE, "num_classes": num_classes, "initialization": "pytorch"}
    if network == "vit":
        head_dim = width // _VIT_HEADS
        return vit(width, num_heads=_VIT_HEADS, head_dim=head_dim, mlp_dim=width, **shared)
    if network == "fully_connected":
        return mlp(hidden_units=[width // divisor for divisor in _DIVISORS], **shared)
    builders = {
        "resnet18": resnet18,
        "resnet18k": resnet18k,
        "vgg19": vgg19,
        "densenet121": densenet,
        "mlp_mixer": mlp_mixer,
    }
    return builders[network](width, **shared)
