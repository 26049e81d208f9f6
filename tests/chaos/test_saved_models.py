import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.chaos import model_files
from tests.chaos.saved_models import KINDS, REFUSED, RIGHT, agreement, counts, good, run_all, try_kind

EVERY = {kind.name: kind for kinds in KINDS.values() for kind in kinds}
FAST = (
    "a .keras file",
    "a .keras file cut short",
    "a Sequential",
    "both in a nested model",
    "softmax in half precision, then float32",
    "a Lambda layer with code, in HDF5",
    "a configuration that names os.system",
)


def expected(kind):
    return RIGHT if kind.refused is None else REFUSED


@pytest.mark.parametrize("name", FAST)
def test_kinds_of_files(name, tmp_path):
    assert try_kind(EVERY[name], tmp_path) == expected(EVERY[name])


@pytest.mark.slow
def test_every_kind_of_file():
    outcomes = run_all()
    assert len(outcomes) == len(EVERY) == sum(map(len, KINDS.values())) > 60
    assert [(k.name, outcome) for k, outcome in outcomes if outcome != expected(k)] == []
    assert sum(table.total() for table in counts(outcomes).values()) == len(EVERY)


def test_a_wrong_score_shows(tmp_path):
    """What NumPy says is no matter of course: another scaling, other weights."""
    for name, given in (
        ("a Rescaling", "0-1"),
        ("standardized pixels", "0-1"),
        ("pixels of 0 to 255", "0-1"),
    ):
        path = EVERY[name].make(tmp_path)
        wrong = good(name, None, logits=EVERY[name].logits, given=given)
        assert agreement(str(path), wrong) < 0.8


def test_the_traps_of_hostile_files_are_real(tmp_path):
    """Read without care, the files do what they are not to do."""
    trap = model_files.trap(tmp_path)
    parts = {"model.weights.h5": b""}
    model_files.pickle_in_npz(parts, tmp_path)
    np.load(tmp_path / "weights.npz", allow_pickle=True)["layers/dense/vars"]
    assert trap.exists()
    trap.unlink()
    path = model_files.lambda_file(".keras")(tmp_path)
    assert not trap.exists()
    keras.models.load_model(path, safe_mode=False)(model_files.IMAGES[:1])
    assert trap.exists()


def compare(*arguments):
    command = [sys.executable, "-m", "launch.compare", "--data=synthetic", "--num_examples=100", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_the_command_refuses_in_one_line(tmp_path):
    path = EVERY["a text"].make(tmp_path)
    found = compare(f"--models={path},{path}")
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1)
    assert f"--models: {path} is not a Keras model" in found.stderr
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "a configuration that names os.system",
        "a pickle in the place of weights",
        "a layer of one's own",
        "a dictionary",
        "weights that are nan",
        "a model that was never built",
        "images of another size",
    ],
)
def test_the_command_refuses_what_reading_finds(name, tmp_path):
    path = EVERY[name].make(tmp_path)
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "page.html"
    found = compare(f"--models={path},{path}", "--input_scaling=0-1", f"--out={out}")
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1), found.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_the_command_compares_a_model_with_itself(tmp_path):
    """A nested Rescaling and Normalization, in two formats: no flag is needed, and both agree."""
    model = model_files.linear_model(
        model_files.nested(keras.layers.Rescaling(1 / 255), model_files.normalization(), shape=(32, 32, 3)),
        shape=(32, 32, 3),
        dense=keras.layers.Dense(10),
    )
    paths = [tmp_path / name for name in ("a.keras", "b.h5")]
    for path in paths:
        model.save(path)
    small = ["--num_triplets=5", "--resolution=10", "--picture_resolution=10", "--num_margins=0", "--json"]
    found = compare(f"--models={','.join(map(str, paths))}", *small, f"--out={tmp_path / 'x.html'}")
    assert (found.returncode, found.stderr) == (0, "")
    score = json.loads(found.stdout.splitlines()[-1])["reproducibility_score"]
    assert (score["value"], score["low"], score["high"], score["n"]) == (1, 1, 1, 5)
    assert found.stdout.count(": pixels of 0-255; ") == 2
