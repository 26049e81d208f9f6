"""What is measured on a trained network: class maps, fragmentation, margins, accuracies, Lemma 2.1.

What it is measured on depends on the data seed alone, so that class maps of different runs can be compared
point by point from their records.
"""

import dataclasses
import functools

import keras
import numpy as np

from common.arrays import class_labels
from common.data.images import ImageSet
from common.errors import UserError
from common.metrics.class_skips import class_skips
from common.metrics.classifier import Classifier
from common.metrics.concentration import outputs_and_slopes, smallest_lipschitz
from common.metrics.fragmentation import fragmentation_scores
from common.metrics.margin import gaussian_margins, margins
from common.metrics.plane import (
    SCORE_OVERHANG,
    draw_same_class_triplets,
    draw_triplets,
    plane_through,
    predict_planes,
)
from common.streams import Streams
from common.study import interruption
from common.training.trainer import Preprocessing
from replications.somepalli_boundaries.published import (
    FRAGMENTATION_SUBSETS,
    MARGIN_SUBSETS,
    PICTURES,
    RANDOM_KINDS,
    SHUFFLED,
    UNIFORM,
)
from replications.somepalli_boundaries.settings import Settings
from replications.somepalli_boundaries.triplets import check_triplets, score_triplets

_SKIP_POINTS = 10
_BATCH = 500
# Distances from the median at which Lemma 2.1 is held against a network.
_DEVIATIONS = np.geomspace(1e-3, 0.5, 50)
_QUANTILES = np.linspace(0, 1, 101)


@dataclasses.dataclass
class Subject:
    """A trained network with the images and labels it is measured on.

    Args:
        settings: Resolved Settings.
        classifier: `Classifier` of the network.
        model: The Keras model.
        preprocessing: `training.trainer.Preprocessing`.
        data: `data.images.ImageSet`.
        labels: int32 [n], the labels of the training images that the network was given.
        index_labels: int32 [n], labels that say which images count as noisy.
    """

    settings: Settings
    classifier: Classifier
    model: keras.Model
    preprocessing: Preprocessing
    data: ImageSet
    labels: np.ndarray
    index_labels: np.ndarray

    @property
    def streams(self):
        """The random streams of everything that is measured on."""
        return Streams(self.settings.data_seed)

    @functools.cached_property
    def train(self):
        """All training images as the network takes them; made when a measure needs them."""
        return self.preprocessing.evaluated(self.data.train.images)

    @functools.cached_property
    def test(self):
        """All test images as the network takes them."""
        return self.preprocessing.evaluated(self.data.test.images)

    def maps(self, triplets, resolution, overhang, confidences=False):
        """Returns the class at every point of the planes through triplets of prepared images.

        Args:
            triplets: Sequence of arrays (3, height, width, channels).
            resolution: Points along each axis.
            overhang: Part of each axis by which the window goes beyond the images.
            confidences: Whether to return the confidences as well.

        Returns:
            Array (triplets, resolution, resolution) of classes; with `confidences`, a pair of arrays. And the
            list of planes.
        """
        interruption.check()
        planes = [plane_through(t, resolution, overhang, self.settings.window) for t in triplets]
        found = predict_planes([self.classifier], planes, confidences=confidences)
        return (tuple(part[0] for part in found) if confidences else found[0]), planes

    def score_maps(self, triplets):
        """Class maps of the scores: `resolution` points along each axis, a tenth beyond the images."""
        return self.maps(triplets, self.settings.resolution, SCORE_OVERHANG)[0]


def check_measurable(settings, data, labels, index_labels):
    """Refuses settings under which something could not be measured, before anything is trained.

    Args:
        settings: Resolved Settings.
        data: `data.images.ImageSet`.
        labels: Integer array (n,) or (n, 1), the labels of the training images that the network is given.
        index_labels: Integer array (n,) or (n, 1), labels that say which images count as noisy.

    Raises:
        UserError: The test images are of fewer than three classes, or not all there for the released
            triplets; a class has fewer than three training images with right labels, for fragmentation; or
            none has a right label, for margins.
    """
    labels, index_labels = class_labels(labels), class_labels(index_labels, "index_labels")
    num_classes = len(np.unique(data.test.labels))
    if num_classes < 3 and settings.triplets != "train":
        raise UserError(
            f"--num_test={settings.num_test}: its images are of {num_classes} classes; the planes of scores "
            "need three"
        )
    check_triplets(settings.triplets, len(data.test.labels))
    true = data.train.labels
    flag = f"--label_noise={settings.label_noise:g}"
    if not settings.label_noise:
        flag = f"--num_train={settings.num_train}"
    if settings.num_fragmentation_triplets:
        for label in np.unique(index_labels):
            clean = int(np.sum((index_labels == label) & (true == label)))
            if clean < 3:
                raise UserError(
                    f"{flag}: leaves {clean} images of class {label} with right labels; fragmentation needs "
                    "three (--num_fragmentation_triplets=0 measures none)"
                )
    if settings.num_margin_images and not np.any(labels == true):
        raise UserError(
            f"{flag}: leaves no image with its right label; margins need one (--num_margin_images=0 measures "
            "none)"
        )


def measure(subject):
    """Measures everything that the settings ask for.

    Args:
        subject: `Subject`.

    Returns:
        List of what `Trainer.row` takes for each value of this run, and dictionary of arrays.
    """
    settings, rows, arrays = subject.settings, accuracies(subject), {}
    if settings.triplets == "train":
        images, part = subject.train, subject.data.train
    else:
        images, part = subject.test, subject.data.test
    triplets = score_triplets(settings.triplets, part.labels, settings.num_triplets, settings.data_seed)
    arrays["score_classes"] = subject.score_maps(images[triplets])
    if settings.num_fragmentation_triplets:
        found, arrays["fragmentation"] = fragmentation(subject)
        rows += [*found, _value("class_skips", np.mean(_class_skips(subject)))]
    if settings.num_margin_images:
        found, arrays["margins"] = _margins(subject)
        rows += found
    if settings.num_random_planes:
        found, arrays["random_classes"] = random_planes(subject)
        rows += found
    if settings.num_random_images:
        found, further = concentration(subject)
        rows, arrays = rows + found, arrays | further
    return rows, arrays | pictures(subject)


def _value(metric, value, **coordinates):
    """A value as `Trainer.row` takes it."""
    return {"metric": metric, "value": value if isinstance(value, int) else float(value)} | coordinates


def _predictions(subject, images):
    """Classes of images in [0, 1]."""
    batches = (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))
    prepared = (subject.preprocessing.evaluated(batch) for batch in batches)
    return np.concatenate([subject.classifier(batch)[0].numpy() for batch in prepared])


def accuracies(subject):
    """Accuracy on the test set, on all training images with the labels given, and on clean and noisy ones.

    Noisy ones count against the labels given and against the true ones (somepago/dbViz,
    double-descent/dd_accuracies.py). Without label noise there are none.
    """
    true, given = subject.data.train.labels, subject.labels
    train, test = (_predictions(subject, part.images) for part in (subject.data.train, subject.data.test))
    noisy = given != true
    found = {"all": train == given, "test": test == subject.data.test.labels}
    if noisy.any():
        parts = {"clean": (train == given)[~noisy], "noisy": (train == given)[noisy]}
        found |= {subset: hits for subset, hits in parts.items() if len(hits)}
    rows = [_value("accuracy", np.mean(hits), subset=subset) for subset, hits in found.items()]
    if noisy.any():
        rows.append(_value("accuracy_on_true_labels", np.mean((train == true)[noisy]), subset="noisy"))
    return [*rows, _value("noisy_images", int(noisy.sum()))]


def fragmentation(subject):
    """Fragmentation on planes through any training images, any test images, and clean ones of one class.

    Returns:
        Means over the planes of each subset and their standard deviations; and the scores, uint16 (subsets,
        planes). The third subset has the same number of planes in each class.
    """
    train, number = subject.data.train.labels, subject.settings.num_fragmentation_triplets
    streams, index = subject.streams, subject.index_labels
    per_class = max(1, number // (int(train.max()) + 1))
    drawn = (
        draw_triplets(train, number, streams.generator("fragmentation_all"), distinct_classes=False),
        draw_triplets(
            subject.data.test.labels,
            number,
            streams.generator("fragmentation_test"),
            distinct_classes=False,
        ),
        draw_same_class_triplets(
            index, per_class, streams.generator("fragmentation_correct"), eligible=index == train
        ),
    )
    rows, scores = [], np.zeros((3, max(map(len, drawn))), np.uint16)
    for i, (subset, triplets) in enumerate(zip(FRAGMENTATION_SUBSETS, drawn, strict=True)):
        images = subject.test if subset == "test" else subject.train
        found = fragmentation_scores(subject.score_maps(images[triplets]))
        scores[i, : len(found)] = found
        rows.append(_value("fragmentation", found.mean(), subset=subset))
        rows.append(_value("fragmentation", found.std(), subset=subset, statistic="deviation"))
    return rows, scores


def _class_skips(subject):
    """Label changes on segments between two images that are given one label; as many in each class."""
    rng, pairs = subject.streams.generator("class_skips"), []
    per_class = max(1, subject.settings.num_fragmentation_triplets // 10)
    for label in np.unique(subject.labels):
        members = np.flatnonzero(subject.labels == label)
        if len(members) > 1:
            pairs += [rng.choice(members, 2, replace=False) for _ in range(per_class)]
    first, second = subject.train[np.array(pairs).T]
    return class_skips(subject.classifier, first, second, _SKIP_POINTS)


def _margins(subject):
    """Margins of training images: any, clean ones and noisy ones.

    Directions point to any training images. Without label noise there is only the first subset.

    Returns:
        Number kept, mean and median of each subset; and the margins, float32 (subsets, images), nan if not
        kept.
    """
    settings, noisy = subject.settings, subject.labels != subject.data.train.labels
    everything = np.arange(len(noisy))
    bases = {"all": everything, "clean": np.flatnonzero(~noisy), "noisy": np.flatnonzero(noisy)}
    rows, kept = [], []
    for subset in MARGIN_SUBSETS if noisy.any() else MARGIN_SUBSETS[:1]:
        rng = subject.streams.generator("margins", MARGIN_SUBSETS.index(subset))
        chosen = rng.choice(bases[subset], settings.num_margin_images)
        options = {"num_bisections": settings.margin_bisections}
        if settings.margin_direction == "gaussian":
            found = gaussian_margins(subject.classifier, subject.train, chosen, rng, **options)
        else:
            found = margins(subject.classifier, subject.train, chosen, everything, rng, **options)
        kept.append(found.values.astype(np.float32))
        sample = found.kept()
        statistics = {"count": len(sample)}
        if len(sample):
            statistics |= {"mean": np.mean(sample), "median": np.median(sample)}
        rows += [_value("margin", v, subset=subset, statistic=name) for name, v in statistics.items()]
    return rows, np.array(kept)


def random_triplets(subject, kind, number):
    """Triplets of images that are no data, in [0, 1]: (number, 3, height, width, channels).

    Uniform noise, or training images each with its pixels permuted in its own way (somepago/dbViz, main.py).
    """
    rng = subject.streams.generator(f"{kind}_images")
    images = subject.data.train.images
    if kind == "uniform":
        return rng.random((number, 3, *images.shape[1:]), dtype=np.float32)
    chosen = images[draw_triplets(subject.data.train.labels, number, rng, distinct_classes=False)]
    pixels = chosen.reshape(number, 3, -1, images.shape[-1])
    order = rng.permuted(np.broadcast_to(np.arange(pixels.shape[2]), pixels.shape[:3]), axis=-1)
    return np.take_along_axis(pixels, order[..., None], axis=2).reshape(chosen.shape)


def random_planes(subject):
    """Classes on planes through uniform noise and through images with shuffled pixels.

    Returns:
        For each kind the mean number of classes on a plane, the class that wins most points over all planes
        and its share of them; and the maps, (kinds, planes, resolution, resolution).
    """
    rows, maps = [], []
    for kind in RANDOM_KINDS:
        triplets = random_triplets(subject, kind, subject.settings.num_random_planes)
        found = subject.score_maps([subject.preprocessing.evaluated(t) for t in triplets])
        counts = np.bincount(found.ravel())
        num_classes = np.mean([len(np.unique(plane)) for plane in found])
        rows.append(_value("num_classes", num_classes, subset=kind))
        rows.append(_value("winner", int(counts.argmax()), subset=kind))
        rows.append(_value("winner_share", counts.max() / found.size, subset=kind))
        maps.append(found)
    return rows, np.stack(maps)


def concentration(subject):
    """Lemma 2.1 on uniform random images: the smallest L with which it holds, and what L is at least.

    Each class probability is one function f of the lemma. Nothing here can contradict the lemma: no finite
    sample bounds L from above.

    Returns:
        The largest of both numbers over the classes, and how far the winning class's probability is from its
        median in 95 % of the images; and arrays with both numbers of each class, and the quantiles of the
        winning class's distances from its median.
    """
    shape = subject.data.train.images.shape[1:]
    normalize, number = subject.preprocessing.normalize, subject.settings.num_random_images
    rng = subject.streams.generator("random_images")
    outputs, slopes = outputs_and_slopes(
        lambda images: subject.model(normalize(images), training=False), shape, number, rng
    )
    num_pixels = int(np.prod(shape))
    needed = [smallest_lipschitz(np.clip(f, 0, 1), _DEVIATIONS, num_pixels).max() for f in outputs.T]
    winner = np.bincount(outputs.argmax(axis=1)).argmax()
    distances = np.abs(outputs[:, winner] - np.median(outputs[:, winner]))
    rows = [
        _value("lemma_needed_lipschitz", np.max(needed)),
        _value("lemma_measured_slope", slopes.max()),
        _value("lemma_distance_95", np.quantile(distances, 0.95)),
    ]
    arrays = {
        "lemma_needed": np.array(needed, np.float32),
        "lemma_slopes": slopes.max(axis=0),
        "lemma_distances": np.quantile(distances, _QUANTILES).astype(np.float32),
    }
    return rows, arrays


def pictures(subject):
    """Planes with many points for drawing.

    Returns:
        Arrays with one entry a picture: `picture_names`, `picture_classes` and `picture_confidences` (uint8,
        in 255ths) on the grid, first axis along the first direction, `picture_windows` (its limits: low and
        high of both axes), `picture_coordinates` (3, 2) of the images, `picture_images` (uint8) and their
        `picture_labels`, as given to the network, and `picture_true_labels`; -1 for images that are no data.
    """
    wanted = PICTURES[subject.settings.pictures]
    if not wanted:
        return {}
    sources = [_picture_images(subject, picture) for picture in wanted]
    triplets = [subject.preprocessing.evaluated(images) for images, _, _ in sources]
    resolution = subject.settings.picture_resolution
    overhang = subject.settings.picture_overhang
    (classes, confidences), planes = subject.maps(triplets, resolution, overhang, confidences=True)
    windows = [[plane.axis_u[0], plane.axis_u[-1], plane.axis_v[0], plane.axis_v[-1]] for plane in planes]
    return {
        "picture_names": np.array([picture.name for picture in wanted]),
        "picture_classes": classes,
        "picture_confidences": np.round(255 * confidences).astype(np.uint8),
        "picture_windows": np.array(windows, np.float32),
        "picture_coordinates": np.array([plane.coordinates for plane in planes], np.float32),
        "picture_images": np.round(255 * np.stack([images for images, _, _ in sources])).astype(np.uint8),
        "picture_labels": np.array([labels for _, labels, _ in sources], np.int8),
        "picture_true_labels": np.array([labels for _, _, labels in sources], np.int8),
    }


def _picture_images(subject, picture):
    """Returns the three images of a picture in [0, 1], the labels they were given, and their true labels."""
    if picture in (UNIFORM, SHUFFLED):
        return random_triplets(subject, picture.name, 1)[0], [-1] * 3, [-1] * 3
    train = subject.data.train
    places = np.searchsorted(train.ids, picture.ids)
    return train.images[places], subject.labels[places], train.labels[places]
