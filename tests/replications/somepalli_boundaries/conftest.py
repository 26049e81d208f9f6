import types

import numpy as np
import pytest
import tensorflow as tf

from common.data import images
from common.data.augmentation import augmentation
from common.metrics.classifier import Classifier
from common.streams import Streams
from common.training.trainer import Preprocessing
from replications.somepalli_boundaries.labels import given_labels
from replications.somepalli_boundaries.measure import Subject
from replications.somepalli_boundaries.published import KEPT_IDS
from replications.somepalli_boundaries.settings import Settings


def linear_model(images, training=False):
    """Three classes out of ten, by the mean of each channel."""
    means = tf.reduce_mean(images, axis=(1, 2))
    return tf.concat([10 * means, tf.fill([tf.shape(means)[0], 7], -100.0)], axis=1)


@pytest.fixture(scope="session")
def make_subject():
    """Builds a `measure.Subject` of synthetic images and a model that is a function."""

    def make(model=linear_model, **values):
        small = {
            "protocol": "double_descent",
            "dataset": "synthetic",
            "num_train": 320,
            "num_test": 60,
            "num_triplets": 4,
            "num_fragmentation_triplets": 10,
            "num_margin_images": 3,
            "resolution": 6,
            "picture_resolution": 5,
        }
        settings = Settings(**(small | values)).resolve()
        data = images.load("synthetic", None, settings.num_train, settings.num_test, 1, KEPT_IDS)
        preprocessing = Preprocessing(
            augmentation("pad_crop_flip"), augmentation("none"), lambda x: 2 * x - 1
        )
        labels, index = given_labels(settings, data.train, 10, Streams(settings.data_seed))
        return Subject(settings, Classifier(model), model, preprocessing, data, labels, index)

    return make


@pytest.fixture
def run_of():
    """A stand-in for a `run_folders.Run` with arrays alone."""

    def make(classes):
        return types.SimpleNamespace(arrays={"score_classes": np.asarray(classes, np.uint8)})

    return make
