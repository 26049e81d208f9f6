"""What holds for every model of common.models."""

import importlib
import inspect
import pkgutil

import keras

import common.models
from common.models.alexnet import small_alexnet
from common.models.convnet import convnet

PARTS = {"blocks", "initialization", "normalization"}  # modules that build no model


def test_every_builder_is_tested(names_of_models):
    builders = set()
    for name in {module.name for module in pkgutil.iter_modules(common.models.__path__)} - PARTS:
        module = importlib.import_module(f"common.models.{name}")
        functions = inspect.getmembers(module, inspect.isfunction)
        builders |= {f for f, value in functions if value.__module__ == module.__name__ and f[0] != "_"}
    assert builders == names_of_models


def test_builders_do_not_depend_on_the_order_of_channels_that_keras_is_set_to():
    plain = convnet(1), small_alexnet()
    keras.config.set_image_data_format("channels_first")
    try:
        built = convnet(1), small_alexnet()
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")
    for model, other in zip(built, plain, strict=True):
        assert model.count_params() == other.count_params()
        assert model.output_shape == other.output_shape


def test_no_convolution_of_one_position_has_a_stride(every_model):
    # Its weight gradient writes outside its memory; `blocks.convolution` takes the positions first.
    for layer in every_model._flatten_layers():
        if hasattr(layer, "kernel_size") and set(layer.kernel_size) == {1}:
            assert set(layer.strides) == {1}, layer.name
