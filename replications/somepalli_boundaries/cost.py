"""What a run costs: its seconds. Loads no TensorFlow."""

from common.data.datasets import NUM_TRAIN
from replications.somepalli_boundaries.published import PICTURES

# Images a second on two cores, in training and in inference, at a width; both fall with the width.
_SPEEDS = {
    "wide_resnet_30": (3, 286, 1050),
    "wide_resnet_20": (2, 530, 2100),
    "wide_resnet_10": (1, 1500, 5700),
    "resnet18": (8, 1460, 6000),
    "densenet121": (4, 285, 1200),
    "vgg19": (8, 2400, 10500),
    "vit": (64, 570, 1840),
    "mlp_mixer": (32, 500, 1500),
    "fully_connected": (256, 20000, 100000),
    "resnet18k": (8, 1400, 5800),
}


def _slower(network, width, depth):
    factor = (width / _SPEEDS[network][0]) ** 1.3
    return factor * ((depth or 10) / 10 if network.startswith("wide_resnet") else 1)


def estimate(settings):
    """Seconds that a run takes on two cores; an estimate."""
    _, train_rate, test_rate = _SPEEDS[settings.network]
    slower = _slower(settings.network, settings.width, settings.depth)
    images = (settings.num_train or NUM_TRAIN) * settings.epochs
    seconds = images / train_rate * slower * (2 if settings.sam_radius else 1)
    if settings.teacher:
        teacher_slower = _slower(settings.teacher, settings.teacher_width, settings.depth)
        seconds += images / _SPEEDS[settings.teacher][2] * teacher_slower
    planes = settings.num_triplets + 3 * settings.num_fragmentation_triplets + 2 * settings.num_random_planes
    points = planes * settings.resolution**2
    points += len(PICTURES[settings.pictures]) * settings.picture_resolution**2
    # A margin takes some 600 points, a random image ten gradients.
    points += 3 * 600 * settings.num_margin_images + 30 * settings.num_random_images
    return 15 + seconds + points / test_rate * slower
