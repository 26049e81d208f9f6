"""The ensemble engine: trains the models of all pairs side by side, data and shuffling included.

One Keras model with a leading models axis stands on each device. A block of steps is one compiled program,
a loop over chunks of steps: positions, patterns, features and labels of a chunk's examples, each one
elementwise pass that writes one array, then the training steps. A chunk's arrays stay in the cache of a core.
"""

import dataclasses
import functools
import math

import keras
import numpy as np
import tensorflow as tf

from common.streams import low_mask, permute, threefry2x32, word
from replications.snapp_shamir.data import NUM_PATTERNS, ExampleStream
from replications.snapp_shamir.models import build, initial_weights
from replications.snapp_shamir.sizes import NUM_FEATURES, num_parameters

MAX_BLOCK_STEPS = 512
CHUNK_STEPS = 32
# Weights and optimizer state of the models trained together. On cores with 1 MiB of second-level cache the
# wide model (48 kB) is as fast with 16 models as with fewer, [1024, 512] (4.5 MB) 1.8 times faster alone than
# with 32; a GPU takes what it is given.
TILE_BYTES = {"CPU": 2**21, "GPU": 2**28}


@dataclasses.dataclass(frozen=True)
class EnsembleMember:
    """One model to train: where it starts and which random streams it reads.

    Args:
        pair: Index of the pair.
        member: 0 or 1.
        data_key: Key of the pair's examples, two words.
        order_key: Key of this model's shuffling, two words.
        weights: Initial weights, in the order of `models.build`.
        shuffle_log2: Logarithm of the shuffling window, in mini-batches.
    """

    pair: int
    member: int
    data_key: np.ndarray
    order_key: np.ndarray
    weights: list[np.ndarray]
    shuffle_log2: int = 0


def pair_members(settings, streams, pairs, starts=None):
    """Returns the two members of each pair: the same examples, each member in its own order.

    Args:
        settings: Resolved Settings.
        streams: The run's `Streams`.
        pairs: Indices of the pairs.
        starts: None for the initial weights of `settings`, or for each pair the weights it starts from.
    """
    return [
        EnsembleMember(
            pair,
            member,
            streams.key("data", pair),
            streams.key("order", pair, member),
            starts[pair] if starts else initial_weights(settings, streams, pair, member),
            settings.shuffle_log2,
        )
        for pair in pairs
        for member in range(2)
    ]


def tile_size(settings, devices, num_members):
    """Models trained together on a device: as many as fit in its cache, as few as share out all members.

    All devices together hold an even number of models, so that a pair is trained at the same time.
    """
    model_bytes = 2 * num_parameters(settings) * np.dtype(settings.precision).itemsize
    kind = "GPU" if "GPU" in devices[0] else "CPU"
    most = max(1, TILE_BYTES[kind] // model_bytes)
    rounds = -(-num_members // (len(devices) * most))
    tile = -(-num_members // (len(devices) * rounds))
    return tile + (tile * len(devices)) % 2


def make_optimizer(settings, learning_rate):
    """The paper's optimizers (section 2), as Keras has them.

    Returns:
        The optimizer, and the variable of its initial learning rate: a new one needs no compilation.
    """
    if settings.optimizer == "adagrad":
        optimizer = keras.optimizers.Adagrad(learning_rate, initial_accumulator_value=0.1)
        return optimizer, optimizer.learning_rate
    # `decay` of the Keras of 2021: the rate is divided by 1 + 0.001 t at step t. A schedule computes in
    # the type of its rate.
    rate = keras.Variable(learning_rate, dtype=settings.precision, trainable=False)
    schedule = keras.optimizers.schedules.InverseTimeDecay(rate, 1, 0.001)
    return keras.optimizers.SGD(schedule, momentum=0.9), rate


class _Shard:
    """The models of one device, with their optimizer and compiled programs."""

    def __init__(self, settings, device, tile, windows_differ):
        self.device = device
        self._settings = settings
        self._batch_log2 = settings.batch_size.bit_length() - 1
        with tf.device(device):
            self.model = build(settings, tile, settings.precision)
            self.optimizer, self._learning_rate = make_optimizer(settings, 0.01)
            self.optimizer.build(self.model.trainable_variables)
            zeros = tf.zeros((tile, 1), tf.uint32)
            self._data_key = [tf.Variable(zeros) for _ in range(2)]
            self._order_key = [tf.Variable(zeros) for _ in range(2)]
            # A variable, so that one compiled program serves every window; each model's, if they differ.
            shape = (tile, 1) if windows_differ else ()
            self._window_log2 = tf.Variable(tf.zeros(shape, tf.uint32))
            self._one = tf.Variable(1)
            words, odds = tf.zeros(NUM_PATTERNS, tf.uint32), tf.zeros(2 * NUM_PATTERNS)
            self._tables = [tf.Variable(words), tf.Variable(words), tf.Variable(odds)]
        self._tile = tile
        self._fresh = [variable.numpy() for variable in self.optimizer.variables]
        self.block = tf.function(self._block, jit_compile=True)

    def variables(self):
        """Everything that training changes."""
        return [v.value for v in (*self.model.trainable_variables, *self.optimizer.variables)]

    def load(self, members, stream, learning_rate):
        """Starts the models of `members`, with a fresh optimizer."""
        for variable, table in zip(self._tables, stream.tables(), strict=True):
            variable.assign(table)
        windows = np.array([[self._batch_log2 + member.shuffle_log2] for member in members], np.uint32)
        self._window_log2.assign(windows if self._window_log2.shape.rank else windows[0, 0])
        for variable, *weights in zip(
            self.model.trainable_variables, *(member.weights for member in members), strict=True
        ):
            variable.assign(np.stack(weights))
        for variable, value in zip(self.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        self._learning_rate.assign(learning_rate)
        for i in range(2):
            self._data_key[i].assign(np.array([[member.data_key[i]] for member in members], np.uint32))
            self._order_key[i].assign(np.array([[member.order_key[i]] for member in members], np.uint32))

    def weights(self):
        """The weights of each model of the tile."""
        stacked = [variable.numpy() for variable in self.model.trainable_variables]
        return [list(model) for model in zip(*stacked, strict=True)]

    def _block(self, first_step, num_steps):
        """Trains `num_steps` steps (a Python integer) from the uint32 step `first_step` on."""
        tables = [variable.read_value() for variable in self._tables]
        chunk = math.gcd(num_steps, CHUNK_STEPS)
        for i in tf.range(num_steps // chunk):
            first = first_step + tf.cast(i * chunk, tf.uint32)
            positions = self._once(chunk, tf.uint32, self._positions, first, chunk)
            patterns = self._once(chunk, tf.uint32, self._patterns, positions)
            examples = self._once(chunk, tf.uint32, self._features, tables, positions, patterns)
            labels = self._once(chunk, tf.float32, self._labels, tables, positions, examples)
            for j in tf.range(chunk):
                self._step(examples[j], labels[j])

    def _once(self, chunk, dtype, function, *arguments):
        """Computes an array of a chunk in a loop of one turn: XLA would repeat the work for each of its uses.

        It does not know that the turn is the only one.
        """
        zeros = tf.zeros((chunk, self._tile, self._settings.batch_size), dtype)
        turns = self._one.read_value()
        return tf.while_loop(
            lambda i, _: i < turns, lambda i, _: (i + 1, function(*arguments)), (tf.constant(0), zeros)
        )[1]

    def _positions(self, first_step, num_steps):
        """Stream positions of a block's examples: uint32, shape (steps, models, batch)."""
        steps = first_step + tf.constant(np.arange(num_steps, dtype=np.uint32))
        slots = tf.constant(np.arange(self._settings.batch_size, dtype=np.uint32))
        first = tf.bitwise.left_shift(steps, word(self._batch_log2))[:, None, None]
        index = first + slots + tf.zeros_like(self._order_key[0])
        if self._settings.batch_order == "fixed":
            return index
        window_log2 = self._window_log2.read_value()
        window = tf.bitwise.right_shift(first, window_log2)
        offset = tf.bitwise.bitwise_and(index, low_mask(window_log2))
        key = threefry2x32([k.read_value() for k in self._order_key], (window, word(0)))
        start = tf.bitwise.left_shift(window, window_log2)
        return tf.bitwise.bitwise_or(start, permute(offset, key, window_log2))

    def _key(self):
        """The key of each model's examples."""
        return [half.read_value() for half in self._data_key]

    def _patterns(self, positions):
        return ExampleStream.patterns(self._key(), positions)

    def _features(self, tables, positions, patterns):
        return ExampleStream.features(tables, self._key(), positions, patterns)

    def _labels(self, tables, positions, examples):
        return ExampleStream.labels(tables, self._key(), positions, examples)

    def _step(self, examples, labels):
        shifts = tf.constant(np.arange(NUM_FEATURES, dtype=np.uint32))
        bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(examples[..., None], shifts), word(1))
        features = tf.cast(tf.cast(bits, tf.int32), self._settings.precision)
        targets = tf.cast(labels, self._settings.precision)
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.model(features, training=True)
        # The derivative of the mean logistic loss of each model's batch.
        of_logits = (tf.sigmoid(logits) - targets[..., None]) / self._settings.batch_size
        gradients = tape.gradient(logits, [v.value for v in variables], of_logits)
        self.optimizer.apply(gradients, variables)


class Ensemble:
    """Trains groups of members on several devices, block by block.

    Args:
        settings: Resolved Settings, of which model, optimizer, precision, batch size and order are used.
        devices: Device names.
        tile: Models on each device, from `tile_size`.
        windows_differ: Whether the members of a group may have several shuffling windows.
    """

    def __init__(self, settings, devices, tile, windows_differ=False):
        self.num_slots = tile * len(devices)
        self._tile = tile
        self._shards = [_Shard(settings, device, tile, windows_differ) for device in devices]
        with tf.device("CPU:0"):
            self._step = tf.Variable(0, dtype=tf.int64)
        self._programs = {}

    @property
    def step(self):
        """Steps done since `load`."""
        return int(self._step.numpy())

    def is_compiled(self, num_steps):
        """Whether `advance(num_steps)` runs at once; the first call of each number compiles it."""
        return num_steps in self._programs

    def load(self, members, stream, learning_rate):
        """Starts a group of at most `num_slots` members; idle slots repeat the last member.

        Args:
            members: List of EnsembleMember.
            stream: The `data.ExampleStream` of the experiment.
            learning_rate: Learning rate of the first step.
        """
        slots = list(members) + [members[-1]] * (self.num_slots - len(members))
        for i, shard in enumerate(self._shards):
            shard.load(slots[i * self._tile : (i + 1) * self._tile], stream, learning_rate)
        self._step.assign(0)
        self._num_members = len(members)

    def advance(self, num_steps):
        """Trains all models for `num_steps` steps, at most MAX_BLOCK_STEPS."""
        if num_steps not in self._programs:
            program = tf.function(functools.partial(self._all_blocks, num_steps))
            # A traced function without arguments: looking up the trace of some takes milliseconds a call.
            self._programs[num_steps] = program.get_concrete_function()
        self._programs[num_steps]()

    def _all_blocks(self, num_steps):
        with tf.device("CPU:0"):
            first_step = tf.cast(self._step.read_value(), tf.uint32)
        for shard in self._shards:
            with tf.device(shard.device):
                shard.block(first_step, num_steps)
        self._step.assign_add(num_steps)

    def weights(self):
        """The weights of each member, in the order given to `load`."""
        return [weights for shard in self._shards for weights in shard.weights()][: self._num_members]

    def checkpoint(self):
        """A `tf.train.Checkpoint` of everything that training changes."""
        shards = {
            f"shard_{i}": tf.train.Checkpoint(**{f"variable_{j}": v for j, v in enumerate(shard.variables())})
            for i, shard in enumerate(self._shards)
        }
        return tf.train.Checkpoint(step=self._step, **shards)
