"""What the suite `ensemble` times: 32 models of Snapp & Shamir, by our engine, by keras.fit and by jax.

All train with batches of 32, AdaGrad at 0.1 and ReLU, from the same initial weights and the same
distribution of examples.
"""

import functools
import os

import keras
import numpy as np
import tensorflow as tf

from common.distribution import ensemble_devices
from common.streams import Streams
from replications.snapp_shamir.data import NUM_FEATURES, example_stream, unpack
from replications.snapp_shamir.engine import (
    MAX_BLOCK_STEPS,
    Ensemble,
    make_optimizer,
    pair_members,
    tile_size,
)
from replications.snapp_shamir.models import build
from replications.snapp_shamir.presets import prefer_wide_vectors
from replications.snapp_shamir.settings import Settings

# jax would otherwise reserve most of a GPU's memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
try:
    import jax
    from jax import numpy as jnp
except ImportError:
    jax = None

FIT_EXECUTION_STEPS = 64
MAX_FIT_STEPS = 2**15  # their examples take 134 MB


def contenders(model, devices=None):
    """Returns the contenders for a model: the engine, keras.fit twice, and jax where it is installed.

    Args:
        model: One of `settings.MODELS`.
        devices: Device names; default: all, as a run would take.
    """
    prefer_wide_vectors([model])  # of the first model of the process
    settings = Settings(model=model, shuffle_log2=20).resolve()
    devices = devices or ensemble_devices("auto")
    stream, members = stream_and_members(settings)
    tile = tile_size(settings, devices, len(members))
    examples = examples_in_memory(stream, members[0], MAX_FIT_STEPS * settings.batch_size)
    found = [
        Engine(settings, stream, members, devices, tile),
        Fit(settings, members[0], examples, 1),
        Fit(settings, members[0], examples, FIT_EXECUTION_STEPS),
    ]
    if _why_no_jax(devices) is None:
        found.append(JaxEnsemble(settings, stream, members, len(devices), tile))
    return found


def stream_and_members(settings):
    """Returns the example stream of a run and the members of all its pairs."""
    streams = Streams(settings.seed)
    members = pair_members(settings, streams, range(settings.pairs))
    return example_stream(settings.data, streams), members


def notes(devices=None):
    """Returns a line for each contender that is missing here, with the reason."""
    reason = _why_no_jax(devices or ensemble_devices("auto"))
    return [] if reason is None else [f"jax: not measured, {reason}"]


def _why_no_jax(devices):
    if jax is None:
        return "it is not installed; `pip install jax` adds it"
    ours, theirs = "gpu" if "GPU" in devices[0] else "cpu", _jax_devices(len(devices))[0].platform
    return None if ours == theirs else f"it runs on {theirs} here and TensorFlow on {ours}"


def models_at_once(num_members, num_slots):
    """Models trained at once, the mean over the groups of all members: the last may have idle slots."""
    return num_members / -(-num_members // num_slots)


class Engine:
    """The ensemble engine as a run uses it."""

    name = "engine"
    about = "all devices of the machine; generating and shuffling the examples included"
    unit = MAX_BLOCK_STEPS
    max_steps = 2**27  # positions are words of 32 bits

    def __init__(self, settings, stream, members, devices, tile):
        self.batch_size = settings.batch_size
        self._ensemble = Ensemble(settings, devices, tile)
        self.num_models = models_at_once(len(members), self._ensemble.num_slots)
        members = members[: self._ensemble.num_slots]
        self._ensemble.load(members, stream, settings.learning_rate)

    def run(self, num_steps):
        """Trains, and waits for the weights."""
        for _ in range(num_steps // self.unit):
            self._ensemble.advance(self.unit)
        return self._ensemble.weights()


def examples_in_memory(stream, member, num_examples):
    """A member's features and labels in the order of the stream: float32 (examples, 32), (examples, 1)."""
    positions = tf.constant(np.arange(num_examples, dtype=np.uint32))
    tables, key = stream.tables(), tf.constant(member.data_key)
    examples = stream.features(tables, key, positions)
    labels = stream.labels(tables, key, positions, examples)
    return unpack(examples.numpy()).astype(np.float32), labels.numpy()[:, None]


class Fit:
    """`keras.fit` of one ordinary model at a time, in one process."""

    num_models = 1
    # A call of `fit` costs about 50 ms whatever it does; so many steps keep that small.
    unit = 8 * FIT_EXECUTION_STEPS
    max_steps = MAX_FIT_STEPS

    def __init__(self, settings, member, examples, steps_per_execution):
        self.name = "fit" if steps_per_execution == 1 else f"fit{steps_per_execution}"
        self.about = (
            f"keras.fit, steps_per_execution={steps_per_execution}, one model at a time; examples in memory"
        )
        self.batch_size = settings.batch_size
        self._examples = examples
        self.model = build(settings)
        self.model.set_weights(member.weights)
        self.model.compile(
            make_optimizer(settings, settings.learning_rate)[0],
            keras.losses.BinaryCrossentropy(from_logits=True),
            steps_per_execution=steps_per_execution,
        )

    def run(self, num_steps):
        """Trains on the first `num_steps` batches; `fit` waits for its metrics."""
        features, labels = (array[: num_steps * self.batch_size] for array in self._examples)
        self.model.fit(features, labels, batch_size=self.batch_size, shuffle=False, verbose=0)


class JaxEnsemble:
    """The same ensemble in jax: `vmap` over models, `lax.scan` over steps, `jit`, AdaGrad by hand.

    Includes unpacking the examples, forward and backward pass and update of as many models on as many
    devices as the engine has. Excludes drawing and shuffling: one block of packed examples and labels lies
    ready on each device and is trained on again and again, so jax is given less to do than the engine.
    """

    name = "jax"
    about = "vmap + lax.scan, as many models and devices; one block of packed examples again and again"
    unit = MAX_BLOCK_STEPS
    max_steps = 2**27

    def __init__(self, settings, stream, members, num_devices, tile):
        self.batch_size = settings.batch_size
        self.num_models = models_at_once(len(members), num_devices * tile)
        self._num_members = min(len(members), num_devices * tile)
        members = [*members, *[members[-1]] * (num_devices * tile)]
        self._block = jax.jit(_jax_block, static_argnums=2, donate_argnums=0)
        self._rate = settings.learning_rate
        self._states, self._batches = [], []
        for i, device in enumerate(_jax_devices(num_devices)):
            shard = members[i * tile : (i + 1) * tile]
            weights = [np.stack(arrays) for arrays in zip(*(member.weights for member in shard), strict=True)]
            accumulators = [np.full_like(array, 0.1) for array in weights]
            self._states.append(jax.device_put((weights, accumulators), device))
            self._batches.append(
                jax.device_put(_packed_block(stream, shard, self.unit, self.batch_size), device)
            )

    def run(self, num_steps):
        """Trains, and waits for the weights."""
        for _ in range(num_steps // self.unit):
            # jax returns at once, so the devices work side by side.
            for i, batches in enumerate(self._batches):
                self._states[i] = self._block(self._states[i], batches, self._rate)
        return self.weights()

    def weights(self):
        """The weights of each model."""
        models = []
        for weights, _ in self._states:
            models += map(list, zip(*(np.asarray(array) for array in weights), strict=True))
        return models[: self._num_members]


@functools.cache
def _jax_devices(count):
    jax.config.update("jax_num_cpu_devices", count)
    return jax.devices()[:count]


def _packed_block(stream, members, num_steps, batch_size):
    """The first batches of each member, in the order of the stream.

    Returns:
        (examples, labels): uint32 and float32, shape (steps, models, batch).
    """
    index = np.arange(num_steps * batch_size, dtype=np.uint32).reshape(-1, 1, batch_size)
    positions = tf.constant(np.repeat(index, len(members), axis=1))
    key = [tf.constant(np.array([[member.data_key[i]] for member in members], np.uint32)) for i in range(2)]
    tables = stream.tables()
    examples = stream.features(tables, key, positions)
    return examples.numpy(), stream.labels(tables, key, positions, examples).numpy()


def _jax_block(state, batches, rate):
    """Trains the models of one device for a block of steps."""

    def step(state, batch):
        return jax.vmap(functools.partial(_jax_step, rate=rate))(*state, *batch), None

    return jax.lax.scan(step, state, batches)[0]


def _jax_step(weights, accumulators, examples, labels, rate):
    """One step of AdaGrad of one model; epsilon as in `keras.optimizers.Adagrad`."""
    gradients = jax.grad(_jax_loss)(weights, examples, labels)
    accumulators = [a + g * g for a, g in zip(accumulators, gradients, strict=True)]
    weights = [
        w - rate * g / jnp.sqrt(a + 1e-7) for w, g, a in zip(weights, gradients, accumulators, strict=True)
    ]
    return weights, accumulators


def _jax_loss(weights, examples, labels):
    """Mean logistic loss of one ReLU model on packed examples; weights in the order of `models.build`."""
    shifts = np.arange(NUM_FEATURES, dtype=np.uint32)
    x = (examples[:, None] >> shifts & 1).astype(jnp.float32)
    if weights[0].ndim == 3:
        embeddings, *weights = weights
        x = jnp.concatenate([jnp.split(x, 2, axis=1)[i] @ embeddings[i] for i in range(2)], axis=1)
    for i in range(0, len(weights), 2):
        x = x @ weights[i] + weights[i + 1]
        if i + 2 < len(weights):
            x = jax.nn.relu(x)
    logits = x[:, 0]
    # The form with max and abs has another gradient at 0, where many logits are in the first step.
    return jnp.mean(jax.nn.softplus(logits) - logits * labels)
