"""Every public function, method and dataclass field of common says its types."""

import dataclasses
import importlib
import inspect
import pkgutil
import re

import pytest

import common

# What may be Any, by the name's ending, and why.
UNTYPED = {
    "setting.setting: default": "of the type of its field",
    "setting.idle_value: return": "of the type of its field",
    "setting.setting: absent": "of the type of its field",
    "setting.setting: applies_to": "of settings that have more than `Settings` says",
    "setting.setting: return": "a dataclass field stands for its value",
    "program.check_options: runs": "settings of images have more than `Settings` says",
    "program.check_data: runs": "settings of images have more than `Settings` says",
    "program.missing_teachers: runs": "settings of images have more than `Settings` says",
    "runs.Study: estimate": "of settings that have more than `Settings` says",
    "runs.Study: keeps_array": "of settings that have more than `Settings` says",
    "runs.Study: prepare": "of settings that have more than `Settings` says",
    "runs.Study: raised": "of settings that have more than `Settings` says",
    "runs.Study: takes_gpu": "of settings that have more than `Settings` says",
    "costs.price: settings": "of settings that have more than `Settings` says",
    "program.machine_of: runs": "of settings that have more than `Settings` says",
    "widths.by_width: runs": "of settings that have a width",
    "run_folders.provenance: return": "JSON",
    "files.write_json: value": "JSON",
    "frozen.read_frozen: return": "JSON",
    "frozen.is_frozen: entry": "JSON",
    "run_folders.checked_file: record": "JSON",
    "Run: record": "JSON",
    ".get_config: return": "a Keras configuration: JSON of any kind",
    "__init__: kwargs": "handed on to Keras, whose layers take many",
    "blocks.dense: kwargs": "handed on to Keras's Dense",
    "examples.example_arrays: return": "an array or None, as each of the arguments is",
}


def module_names():
    for info in pkgutil.walk_packages(common.__path__, "common."):
        yield info.name


def functions_of(module):
    """Name and function of every public function and method, and of constructors."""
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__ or name.startswith("_"):
            continue
        if inspect.isclass(value):
            for method, function in vars(value).items():
                function = getattr(function, "fget", None) or getattr(function, "__func__", function)
                # A dataclass's own constructor has no source.
                is_own = inspect.isfunction(function) and function.__code__.co_filename == module.__file__
                if is_own and (not method.startswith("_") or method in ("__init__", "__call__")):
                    yield f"{name}.{method}", function, True
        elif callable(value):
            yield name, inspect.unwrap(getattr(value, "python_function", value)), False


def annotations_of(module):
    """(place, annotation) of everything public; `inspect.Parameter.empty` where there is none."""
    for name, function, is_method in functions_of(module):
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        for parameter in parameters[1:] if is_method else parameters:
            yield f"{module.__name__}.{name}: {parameter.name}", parameter.annotation
        yield f"{module.__name__}.{name}: return", signature.return_annotation
    for name, value in vars(module).items():
        is_own = getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
        if is_own and dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield f"{module.__name__}.{name}: {field.name}", field.type


def says_nothing(annotation):
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return bool(re.search(r"\b(Any|object)\b", text))


@pytest.mark.parametrize("name", list(module_names()))
def test_public_names_are_annotated(name):
    for place, annotation in annotations_of(importlib.import_module(name)):
        assert annotation is not inspect.Parameter.empty, f"{place} has no annotation"
        if says_nothing(annotation):
            assert place.endswith(tuple(UNTYPED)), f"{place} is {annotation}"


def test_what_may_be_any_is():
    places = [
        place
        for name in module_names()
        for place, annotation in annotations_of(importlib.import_module(name))
        if says_nothing(annotation)
    ]
    for ending in UNTYPED:
        assert any(place.endswith(ending) for place in places), f"{ending} needs no exception"
