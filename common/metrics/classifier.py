"""A network as a classifier: the class it predicts and its confidence, compiled once for all measures."""

import numpy as np
import tensorflow as tf

from ..arguments import whole_number
from ..arrays import floating_type
from ..compilation import compiled
from ..tensors import floating
from .logits import Network, check_logits, logits_of

_BLOCK_BYTES = 2**25


class Classifier:
    """The classes and confidences that a network gives to batches of inputs, in inference mode.

    The measures of decision boundaries take a network or its `Classifier`. A network is traced anew in each
    call; a `Classifier` keeps its trace, also while the weights change, so make one where a network is
    measured more than once. Compiled by XLA where there is a GPU only (`compilation.compiled`).

    Example:
    >>> classifier = Classifier(lambda x: x)
    >>> classes, confidences = classifier(tf.constant([[0.0, 1.0986123]]))
    >>> classes.numpy(), confidences.numpy()  # odds of 1 to 3
    (array([1], dtype=uint8), array([0.75], dtype=float32))

    Args:
        model: Maps a batch of inputs to logits of shape (batch, classes).
    """

    def __init__(self, model: Network) -> None:
        self._model = model
        self._classify = compiled(self._trace, autograph=True, reduce_retracing=True)
        self._on_rays = compiled(self._trace_on_rays, autograph=True, reduce_retracing=True)

    def _trace(self, inputs):
        logits = floating(logits_of(self._model, inputs))
        dtype = np.min_scalar_type(logits.shape[-1] - 1)
        classes = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), dtype)
        # The winner's softmax. A sum, which an infinite or undefined logit makes nan whatever its place.
        below = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
        confidences = 1.0 / tf.reduce_sum(tf.exp(tf.cast(below, tf.float32)), axis=-1)
        return classes, confidences

    def _trace_on_rays(self, origins, directions, rays, distances):
        rays_per_origin = tf.shape(directions)[0] // tf.shape(origins)[0]
        distances = tf.reshape(distances, [-1] + [1] * (origins.shape.rank - 1))
        points = tf.gather(origins, rays // rays_per_origin) + distances * tf.gather(directions, rays)
        return self._classify(points)

    def __call__(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Classifies a batch.

        Args:
            inputs: Tensor of shape (batch, ...), of any type of numbers.

        Returns:
            Two tensors of shape (batch,): the classes, of the smallest unsigned type that holds them, and the
            softmax probabilities of these classes in float32, nan where a logit is nan or plus infinity.
        """
        return self._classify(floating(inputs))

    def check_confidences(self, inputs: np.ndarray | tf.Tensor, batch_size: int | None = None) -> None:
        """Raises a ValueError if the model gives probabilities, whose softmax is no confidence.

        Args:
            inputs: A few inputs.
            batch_size: Largest number of them in a call of the model; None: all.
        """
        check_logits(self._model, inputs, batch_size)

    def on_rays(
        self, origins: tf.Tensor, directions: tf.Tensor, rays: tf.Tensor, distances: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Classifies the points origins[r // k] + d * directions[r], made inside the compiled program.

        Args:
            origins: Floating-point tensor of shape (origins, ...).
            directions: Tensor of shape (k * origins, ...): k rays from each origin, one origin after another.
            rays: int32 tensor of shape (batch,), the ray r of each point.
            distances: Tensor of shape (batch,), the distance d of each point along its ray.

        Returns:
            Classes and confidences, as for a batch.
        """
        return self._on_rays(origins, directions, rays, distances)


def as_classifier(model: Network | Classifier) -> Classifier:
    """Returns the `Classifier` of a model; a `Classifier` is returned as it is."""
    return model if isinstance(model, Classifier) else Classifier(model)


def check_defined(confidences: np.ndarray) -> None:
    """Raises a ValueError if a confidence is nan: the predicted class is then undefined."""
    if np.isnan(confidences).any():
        raise ValueError(
            "The model's logits must be finite: elsewhere it predicts no class (has its training diverged?). "
            f"Received: {np.isnan(confidences).sum()} inputs of {confidences.size} whose logits are not"
        )


def num_images_per_block(image: np.ndarray, images_each: int) -> int:
    """Number of items, of `images_each` images each, that measures hold at once; at least 1."""
    return max(1, _BLOCK_BYTES // (images_each * image.size * floating_type(image).itemsize))


class Rays:
    """Rays on the device, and the classes of points on them, in batches of one shape.

    Args:
        classifier: The network.
        origins: Array of shape (origins, ...).
        directions: Array of shape (origins, rays per origin, ...); their lengths are the units of distance.
            Its type is that of the origins, in which all is computed, float32 at least.
        batch_size: Number of points in each call of the network; the last one is padded.
    """

    def __init__(
        self, classifier: Classifier, origins: np.ndarray, directions: np.ndarray, batch_size: int
    ) -> None:
        self._classifier = classifier
        self._origins = floating(origins)
        directions = tf.reshape(directions, (-1, *origins.shape[1:]))
        self._directions = tf.cast(directions, self._origins.dtype)
        self._batch_size = whole_number("batch_size", batch_size)

    def classes(self, rays: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """Returns the classes at `distances` along `rays` (origin * rays per origin + ray), a 1-D array.

        Raises:
            ValueError: If a logit is nan or +inf.
        """
        num_points = len(rays)
        padding = (0, -num_points % self._batch_size)
        rays = np.pad(np.asarray(rays, np.int32), padding, mode="edge")
        distances = np.pad(np.asarray(distances), padding, mode="edge").astype(
            self._origins.dtype.as_numpy_dtype
        )
        batches = []
        for start in range(0, num_points, self._batch_size):
            batch = slice(start, start + self._batch_size)
            classes, confidences = self._classifier.on_rays(
                self._origins, self._directions, tf.constant(rays[batch]), tf.constant(distances[batch])
            )
            check_defined(confidences.numpy())
            batches.append(classes.numpy())
        return np.concatenate(batches)[:num_points]
