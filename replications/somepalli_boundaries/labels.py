"""The labels that a run trains on, and which of them are wrong."""

import numpy as np

from common.arrays import class_labels
from common.data.corruption import nakkiran_labels, somepalli_labels
from replications.somepalli_boundaries.published import CLEAN_IDS, NOISY_LABELS, NUM_TRAIN

# The released code for fragmentation looks up correct labels at this rate, also for noise-free networks.
_INDEX_RATE = 0.2


def given_labels(settings, images, num_classes, streams):
    """Draws the labels of the training images, once for all networks: run seeds have no part in it.

    Args:
        settings: Resolved Settings.
        images: `data.images.Images`, the training images.
        num_classes: Number of classes.
        streams: `Streams` of the data; "label_noise" is used by Nakkiran's rule.

    Returns:
        Labels to train on, and labels whose differences from the true ones say which images count as
        noisy: the same with label noise, those of 20 % noise without. Two int32 arrays (n,).

    Raises:
        UserError: A class has too few images for the rate.
    """
    rate = settings.label_noise
    if settings.label_noise_rule == "nakkiran":
        noisy = nakkiran_labels(images.labels, rate, num_classes, streams.generator("label_noise"))
        return noisy, noisy
    noisy = _drawn(settings, images, num_classes)
    if len(images.ids) < NUM_TRAIN:  # of all images the draw is the released one, whatever the rate
        noisy = force_roles(images.labels, noisy, images.ids)
    return (noisy if rate else images.labels), noisy


def _drawn(settings, images, num_classes):
    """The labels as the released code draws them, before roles are forced."""
    return somepalli_labels(images.labels, settings.label_noise or _INDEX_RATE, num_classes)


def roles_for_record(settings, images, index_labels, num_classes):
    """Arrays of the record that say which images of figures 7 to 9 are noisy, and for whose sake.

    Args:
        settings: Resolved Settings.
        images: `data.images.Images`, the training images.
        index_labels: Second result of `given_labels`.
        num_classes: Number of classes.

    Returns:
        `role_images`, the numbers of these images, and `role_labels`, their labels; `exchanged_images`, the
        numbers of all images whose label is another one than was drawn. Nothing with Nakkiran's rule.
    """
    if settings.label_noise_rule == "nakkiran":
        return {}
    drawn = _drawn(settings, images, num_classes)
    with_role = np.isin(images.ids, (*CLEAN_IDS, *NOISY_LABELS))
    return {
        "role_images": images.ids[with_role],
        "role_labels": index_labels[with_role],
        "exchanged_images": images.ids[index_labels != drawn],
    }


def force_roles(labels, noisy, ids):
    """Gives the images of figures 7 to 9 the roles that they have in the whole of CIFAR-10 with 20 % noise.

    An image with the wrong role changes places with the first image of its class that has the right one and
    no role of its own, so that the number of wrong labels in a class stays as it is. Where there is none
    left, it changes alone: a class of 50 images has all ten of its noisy ones also where 5 % were asked for.
    A noisy image has its official label.

    Args:
        labels: Integer array (n,) or (n, 1), the true labels.
        noisy: The same after label noise.
        ids: Integer array (n,), the numbers of the images.

    Returns:
        Array of shape (n,) and of the type of `noisy`.
    """
    labels, noisy = class_labels(labels), class_labels(noisy, "noisy").copy()
    free = ~np.isin(ids, (*CLEAN_IDS, *NOISY_LABELS))
    for number in (*CLEAN_IDS, *NOISY_LABELS):
        for place in np.flatnonzero(ids == number):
            is_noisy = number in NOISY_LABELS
            if (noisy[place] != labels[place]) != is_noisy:
                _exchange(labels, noisy, place, free)
            if is_noisy and NOISY_LABELS[number] != labels[place]:
                noisy[place] = NOISY_LABELS[number]
    return noisy


def _exchange(labels, noisy, place, free):
    """Exchanges the role of an image with a free image of its class; without one it changes alone."""
    is_noisy = noisy[place] != labels[place]
    others = np.flatnonzero(free & (labels == labels[place]) & ((noisy != labels) != is_noisy))
    label = labels[place]
    if others.size:
        noisy[place], noisy[others[0]] = noisy[others[0]], noisy[place]
    else:
        noisy[place] = label if is_noisy else (label + 1) % (labels.max() + 1)
