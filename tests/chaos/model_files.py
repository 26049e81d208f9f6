"""Files of tiny models, good, odd and hostile, and the classes that NumPy says they predict."""

import json
import warnings
import zipfile

import h5py
import keras
import numpy as np

from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD
from common.layers import SmeLU

SHAPE, NUM_CLASSES = (6, 6, 3), 5
_RNG = np.random.default_rng(0)
KERNEL = _RNG.normal(size=(108, NUM_CLASSES)).astype(np.float32)
BIAS = 2 * _RNG.normal(size=NUM_CLASSES).astype(np.float32)
HIDDEN = _RNG.normal(size=(108, 8)).astype(np.float32)
IMAGES = _RNG.random((60, *SHAPE), dtype=np.float32)
STATISTICS = np.array(CIFAR10_MEAN), np.array(CIFAR10_STD)
layers = keras.layers


def plain_logits(pixels):
    return pixels.reshape(len(pixels), -1) @ KERNEL.astype(float) + BIAS


def standardized_logits(pixels):
    return plain_logits((pixels - STATISTICS[0]) / STATISTICS[1])


def whole_logits(pixels):
    return plain_logits(np.clip(np.rint(255 * pixels), 0, 255) / 255)


def smelu_logits(pixels):
    x = pixels.reshape(len(pixels), -1) @ HIDDEN.astype(float)
    x = np.where(x > 0.5, x, np.where(x < -0.5, 0, (x + 0.5) ** 2 / 2))
    return x @ KERNEL[:8].astype(float) + BIAS


def averaged_logits(pixels):
    return 10 * pixels.mean(axis=(1, 2)) @ KERNEL[:3].astype(float) + BIAS


def linear_model(*first, last=(), dense=None, shape=SHAPE, dtype=None, policy=None, outputs=None):
    """A linear model with some layers before and after its only weights."""
    inputs = x = keras.Input(shape, dtype=dtype)
    for layer in first:
        x = layer(x)
    x = layers.Flatten(dtype=policy)(x)
    dense = dense or layers.Dense(NUM_CLASSES, dtype=policy)
    x = dense(x)
    for layer in last:
        x = layer(x)
    if isinstance(dense, layers.Dense) and dense.kernel.shape == KERNEL.shape:
        dense.set_weights([KERNEL, BIAS])
    return keras.Model(inputs, outputs(x) if outputs else x)


def sequential():
    """The linear model as a Sequential."""
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(NUM_CLASSES)])
    model.set_weights([KERNEL, BIAS])
    return model


def saved(build, suffix=".keras"):
    def make(folder):
        path = folder / f"model{suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is unwise about some models is the point
            build().save(path)
        return path

    return make


def file(name, content=b""):
    def make(folder):
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def folder_of(name, *files):
    def make(folder):
        path = folder / name
        path.mkdir()
        for file in files:
            (path / file).write_bytes(b"")
        return path

    return make


def changed(change, suffix=".keras"):
    """A good model's file, changed: `change` maps its bytes to others."""

    def make(folder):
        path = saved(linear_model, suffix)(folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def renamed(suffix, other):
    def make(folder):
        return saved(linear_model, suffix)(folder).rename(folder / f"model{other}")

    return make


def flipped(content):
    """One bit of the weights, which are stored without compression, in the middle of the file."""
    at = content.find(KERNEL[50:51].tobytes())
    assert at > 0
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def archive(change):
    """A good model's archive, its parts changed: `change` edits a dictionary name -> bytes."""

    def make(folder):
        path = saved(linear_model)(folder)
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        change(parts, folder)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        return path

    return make


def config_edited(edit):
    """A good model's archive whose configuration is changed: `edit` changes the layer before the last."""

    def change(parts, folder):
        config = json.loads(parts["config.json"])
        edit(config["config"]["layers"][1], folder)
        parts["config.json"] = json.dumps(config).encode()

    return archive(change)


def weights_alone(folder):
    path = folder / "model.weights.h5"
    linear_model().save_weights(path)
    return path


def other_hdf5(folder):
    path = folder / "data.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)
    return path


def smelu_model():
    dense, hidden = layers.Dense(NUM_CLASSES), layers.Dense(8, use_bias=False)
    model = linear_model(layers.Flatten(), hidden, SmeLU(0.5), dense=dense)
    hidden.set_weights([HIDDEN])
    dense.set_weights([KERNEL[:8], BIAS])
    return model


def dynamic_model():
    inputs = keras.Input((None, None, 3))
    dense = layers.Dense(NUM_CLASSES)
    model = keras.Model(inputs, dense(layers.GlobalAveragePooling2D()(inputs)))
    dense.set_weights([10 * KERNEL[:3], BIAS])
    return model


def unbuilt():
    return keras.Sequential([layers.Flatten(), layers.Dense(NUM_CLASSES)])


def with_weight(value):
    model = linear_model()
    model.layers[-1].bias.assign([0.0, value, 0.0, 0.0, 0.0])
    return model


def named_input():
    images, dense = keras.Input(SHAPE, name="images"), layers.Dense(NUM_CLASSES)
    model = keras.Model({"images": images}, dense(layers.Flatten()(images)))
    dense.set_weights([KERNEL, BIAS])
    return model


def rescaled_and_normalized():
    return linear_model(layers.Rescaling(1 / 255), normalization())


def normalized_and_rescaled():
    """Pixels of 0 to 255, to -1 to 1, to 0 to 1."""
    return linear_model(layers.Normalization(mean=127.5, variance=127.5**2), layers.Rescaling(0.5, 0.5))


def nested_together():
    return linear_model(nested(layers.Rescaling(1 / 255), normalization()))


def nested_apart():
    return linear_model(nested(layers.Rescaling(1 / 255)), nested(normalization()))


def half_softmax():
    softmax = layers.Softmax(dtype="mixed_float16")
    return linear_model(last=[softmax, layers.Activation("linear", dtype="float32")])


def overflowing():
    """Its weights are finite, its logits are not."""
    model = linear_model()
    model.layers[-1].kernel.assign(np.full_like(KERNEL, 3e38))
    return model


def two_inputs():
    inputs = [keras.Input(SHAPE), keras.Input(SHAPE)]
    return keras.Model(inputs, layers.Dense(NUM_CLASSES)(layers.Flatten()(layers.Add()(inputs))))


def normalization(white=1.0):
    mean, std = (white * array for array in STATISTICS)
    return layers.Normalization(mean=mean, variance=std**2)


def nested(*inner, shape=SHAPE):
    return keras.Sequential([keras.Input(shape), *inner])


class Unregistered(layers.Layer):
    """A layer that Keras does not know when a file is read."""

    def call(self, inputs):
        return inputs


def custom_loss(y_true, y_pred):
    """A loss that Keras does not know when a file is read."""
    return keras.ops.mean(keras.ops.square(y_pred), axis=-1)


def compiled(loss):
    model = linear_model()
    model.compile("adam", loss)
    model.fit(IMAGES[:4], np.zeros(4), verbose=0)
    model.layers[-1].set_weights([KERNEL, BIAS])
    return model


def trap(folder):
    """The file that a hostile model would make."""
    return folder / "trap"


class _Pickled:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def pickle_in_npz(parts, folder):
    with open(folder / "weights.npz", "wb") as file:
        np.savez(file, **{"layers/dense/vars": np.array(_Pickled(trap(folder)), object)})
    del parts["model.weights.h5"]
    parts["model.weights.npz"] = (folder / "weights.npz").read_bytes()


def without_dense(parts, folder):
    """The weights of the only layer that has some are taken out of the file of weights."""
    path = folder / "weights.h5"
    path.write_bytes(parts["model.weights.h5"])
    with h5py.File(path, "a") as file:
        del file["layers/dense"]
    parts["model.weights.h5"] = path.read_bytes()


def path_traversal(parts, folder):
    parts["assets/../../trap"] = b"written"


def os_system(layer, folder):
    layer |= {
        "module": "os",
        "class_name": "system",
        "registered_name": None,
        "config": {"command": f"touch {trap(folder)}"},
    }


def get_file(layer, folder):
    config = {"fname": str(trap(folder)), "origin": "file:///etc/hostname"}
    layer |= {
        "module": "keras.utils",
        "class_name": "get_file",
        "registered_name": "get_file",
        "config": config,
    }


def lambda_model(folder):
    path = str(trap(folder))
    return linear_model(layers.Lambda(lambda x: [open(path, "w"), x][1], output_shape=SHAPE))


def lambda_file(suffix):
    def make(folder):
        model = lambda_model(folder)
        trap(folder).unlink(missing_ok=True)  # building the model runs it
        model.save(folder / f"model{suffix}")
        trap(folder).unlink(missing_ok=True)
        return folder / f"model{suffix}"

    return make


def lambda_as_activation():
    return linear_model(layers.Activation(lambda x: x + 0))
