"""The library as others install it: the package `irreproducibility`, and nothing beside it."""

import json
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import zipfile

import keras
import numpy as np
import pytest

from common import registration
from common.layers.activations import SmeLU
from common.metrics.prediction_difference import RelativePredictionDifference
from common.models.vit import vit
from common.training.schedules import LinearWarmup

ROOT = pathlib.Path(__file__).parents[1]

# What a user does: a model of ours beside a package of their own that is called `common`.
SAVE = """
import keras
from common import THEIRS
from irreproducibility.layers import SmeLU
from irreproducibility.metrics.prediction_difference import RelativePredictionDifference

model = keras.Sequential([keras.Input([3]), keras.layers.Dense(2, kernel_initializer="ones"), SmeLU(0.5)])
model.compile("sgd", "mse", metrics=[RelativePredictionDifference()])
model.save("model.keras")
assert THEIRS == "theirs"
"""
LOAD = """
import keras, numpy, irreproducibility.layers, irreproducibility.study.records, sys
model = keras.models.load_model("model.keras", compile=False)
numpy.testing.assert_array_equal(model(numpy.ones([1, 3], "float32")), [[3, 3]])
assert not {"common", "replications", "figures", "launch"} & set(sys.modules)
"""


def python(command, folder, executable=sys.executable, **environment):
    """Runs Python code in a folder, without the folder of this repository."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [executable, "-c", command], cwd=folder, env=clean | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_user(folder):
    (folder / "common").mkdir()
    (folder / "common" / "__init__.py").write_text('THEIRS = "theirs"\n')


def test_every_module_works_under_the_name_of_the_library(tmp_path):
    """Imports inside the package are relative."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "irreproducibility").symlink_to(ROOT / "common")
    make_user(tmp_path)
    names = [".".join(path.relative_to(ROOT / "common").with_suffix("").parts) for path in modules()]
    imports = "\n".join(f"import irreproducibility.{name}" for name in names)
    check = 'import sys; assert not {"common", "replications"} & set(sys.modules)'
    python(f"{imports}\n{check}", tmp_path, PYTHONPATH=str(tmp_path / "library"))


def modules():
    return [path for path in sorted((ROOT / "common").rglob("*.py")) if path.name != "__init__.py"]


def test_a_saved_model_loads_after_the_layers_are_imported(tmp_path):
    """As the README says, whatever of the library the model holds."""
    registered = re.compile(r"^@registered\n(?:class|def) (\w+)", re.MULTILINE)
    names = {name for path in modules() for name in registered.findall(path.read_text())}
    assert len(names) >= 14
    model = vit(dim=8, depth=1, num_heads=2, head_dim=4, mlp_dim=8)
    rate = LinearWarmup(0.1, 0.2, epochs=2, steps_per_epoch=1)
    model.compile(keras.optimizers.SGD(rate), "mse", metrics=[RelativePredictionDifference()])
    model.save(tmp_path / "model.keras")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "irreproducibility").symlink_to(ROOT / "common")
    load = f"""
import keras, irreproducibility.layers
assert keras.models.load_model("model.keras").optimizer.learning_rate is not None
known = {{name.partition(">")[2] for name in keras.saving.get_custom_objects()}}
assert {names} <= known, {names} - known
"""
    python(load, tmp_path, PYTHONPATH=str(tmp_path / "library"))


def rename_package(source, target):
    """Writes a saved model as the library wrote it when it had another name."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                assert f"{registration.PACKAGE}>".encode() in content
                content = content.replace(f"{registration.PACKAGE}>".encode(), b"replications>")
            new.writestr(name, content)


def test_models_that_were_saved_under_the_earlier_name_load(tmp_path):
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(2, kernel_initializer="ones"), SmeLU(0.5)])
    model.compile("sgd", "mse", metrics=[RelativePredictionDifference()])
    model.save(tmp_path / "now.keras")
    rename_package(tmp_path / "now.keras", tmp_path / "then.keras")
    loaded = keras.models.load_model(tmp_path / "then.keras")
    assert isinstance(loaded.layers[-1], SmeLU) and loaded.layers[-1].beta == 0.5
    x = np.ones([1, 3], "float32")
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `pip install .` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("common", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), "."]
    subprocess.run(command, cwd=source, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_library_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"irreproducibility"}
    expected = {f"irreproducibility/{path.relative_to(ROOT / 'common')}" for path in modules()}
    assert expected <= set(names)


@pytest.mark.slow
def test_a_model_of_the_installed_library_loads_in_another_process(wheel, tmp_path):
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    executable = environment / "bin" / "python"
    site = pathlib.Path(
        json.loads(
            python(
                "import sysconfig, json; print(json.dumps(sysconfig.get_path('purelib')))",
                tmp_path,
                executable,
            )
        )
    )
    # Keras and TensorFlow are those of the test's own environment: a gigabyte need not be installed again.
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True)
    make_user(tmp_path)
    python(SAVE, tmp_path, executable)
    python(LOAD, tmp_path, executable)
