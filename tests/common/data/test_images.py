import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from common.data.images import balanced_order, load, title_of_copy
from common.errors import UserError

NUM_COPY_TRAIN, NUM_COPY_TEST = 60, 25
NOTE = 'Altered; report results on it as "CIFAR-10 (half size)", please.'


def copy_arrays(split, num_images, shape):
    """Images of a made-up copy: every third number of the original, in no order."""
    rng = np.random.default_rng(len(split))
    return {
        "id": np.array([f"{split}_{3 * i:05d}" for i in rng.permutation(num_images)]),
        "image": rng.integers(0, 256, (num_images, *shape), dtype=np.uint8),
        "label": rng.integers(0, 10, num_images),
    }


def store(folder, shape=(32, 32, 3), num_classes=10):
    """Writes a CIFAR-10 in the files of TFDS; of another shape or number of classes, a wrong one."""
    tfds.disable_progress_bar()
    tfds.dataset_builders.store_as_tfds_dataset(
        name="cifar10",
        version=str(tfds.builder_cls("cifar10").VERSION),
        features=tfds.features.FeaturesDict(
            {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=shape),
                "label": tfds.features.ClassLabel(num_classes=num_classes),
            }
        ),
        split_datasets={
            split: tf.data.Dataset.from_tensor_slices(copy_arrays(split, num_images, shape))
            for split, num_images in (("train", NUM_COPY_TRAIN), ("test", NUM_COPY_TEST))
        },
        data_dir=folder,
        description=NOTE,
    )


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Folder with a CIFAR-10."""
    folder = tmp_path_factory.mktemp("tfds")
    store(folder)
    return folder


@pytest.fixture
def copy_to_damage(copies, tmp_path):
    """A copy of the copy: its folder for `data_dir`, and the folder of its files."""
    target = tmp_path / "data"
    for source in copies.rglob("cifar10*.tfrecord*"):
        files = target / source.parent.relative_to(copies)
    files.mkdir(parents=True)
    for source in sorted((copies / files.relative_to(target)).iterdir()):
        (files / source.name).write_bytes(source.read_bytes())
    return target, files


def message(*arguments, **keywords):
    with pytest.raises(UserError) as error:
        load(*arguments, **keywords)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_prepared_copy(copies, capfd):
    loaded = load("cifar10", data_dir=copies)
    assert loaded.title == "CIFAR-10 (half size) (60 of 50,000 images)"
    assert loaded.num_classes == 10
    for name, split in (("train", loaded.train), ("test", loaded.test)):
        expected = copy_arrays(name, len(split.ids), (32, 32, 3))
        assert (split.images.dtype, split.labels.dtype, split.ids.dtype) == ("float32", "int32", "int32")
        np.testing.assert_array_equal(split.ids, 3 * np.arange(len(split.ids)))
        order = np.argsort(expected["id"])
        np.testing.assert_array_equal(split.labels, expected["label"][order])
        np.testing.assert_array_equal(split.images, expected["image"][order].astype("float32") / 255)
    assert capfd.readouterr() == ("", "")


def test_the_folder_may_come_from_the_environment(copies, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(copies))
    assert len(load("cifar10").test.ids) == NUM_COPY_TEST


def test_a_part_of_a_copy(copies):
    whole, part = load("cifar10", copies), load("cifar10", copies, num_train=20, num_test=7, seed=4)
    for split, whole_split in ((part.train, whole.train), (part.test, whole.test)):
        positions = np.searchsorted(whole_split.ids, split.ids)
        np.testing.assert_array_equal(split.ids, whole_split.ids[positions])
        np.testing.assert_array_equal(split.labels, whole_split.labels[positions])
        np.testing.assert_array_equal(split.images, whole_split.images[positions])
    assert len(part.train.ids) == 20
    assert len(part.test.ids) == 7
    # The title is of the copy, not of the part taken.
    assert part.title == whole.title


def test_missing_data(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "nothing here"
    assert message("cifar100", data_dir=folder) == (
        f"no CIFAR-100 in {folder}/cifar100/3.0.2; --download fetches it, as does "
        f"""python -c "import tensorflow_datasets as tfds; tfds.load('cifar100', data_dir='{folder}')\""""
    )
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    command = """python -c "import tensorflow_datasets as tfds; tfds.load('cifar10')\""""
    assert message("cifar10").endswith(f"in {folder}/cifar10/3.0.2; --download fetches it, as does {command}")
    assert capfd.readouterr() == ("", "")
    assert not folder.exists()


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("")
    assert "no CIFAR-10 in" in message("cifar10", data_dir=tmp_path / "file")


@pytest.mark.parametrize("length", [0, 20_000])
def test_truncated_records(copy_to_damage, length, capfd):
    data_dir, files = copy_to_damage
    os.truncate(next(files.glob("*train.tfrecord*")), length)
    reason = "expected to contain 60 elements but contained only 0" if length == 0 else "truncated record"
    text = message("cifar10", data_dir=data_dir)
    assert text.startswith(f"cannot read CIFAR-10 in {files} (")
    assert reason in text
    assert "{" not in text
    assert "[" not in text
    assert capfd.readouterr() == ("", "")


def test_missing_records_and_broken_description(copy_to_damage):
    data_dir, files = copy_to_damage
    next(files.glob("*test.tfrecord*")).unlink()
    assert "No such file or directory" in message("cifar10", data_dir=data_dir)
    (files / "dataset_info.json").write_text('{"name": ')
    assert message("cifar10", data_dir=data_dir).startswith(f"cannot read CIFAR-10 in {files} (")


@pytest.mark.parametrize(
    ("shape", "num_classes"), [((64, 64, 3), 10), ((20, 20, 3), 10), ((32, 32, 1), 10), ((32, 32, 3), 100)]
)
def test_an_image_set_of_another_shape_is_refused(shape, num_classes, tmp_path):
    store(tmp_path, shape, num_classes)
    said = message("cifar10", data_dir=tmp_path)
    found = f"images of {shape[0]} x {shape[1]} x {shape[2]} in {num_classes} classes"
    assert said.endswith(f"holds {found}; CIFAR-10 has images of 32 x 32 x 3 in 10 classes")


def test_missing_split(copy_to_damage):
    data_dir, files = copy_to_damage
    info = json.loads((files / "dataset_info.json").read_text())
    info["splits"] = [split for split in info["splits"] if split["name"] == "train"]
    (files / "dataset_info.json").write_text(json.dumps(info))
    assert "Unknown split 'test'" in message("cifar10", data_dir=data_dir)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder(copy_to_damage):
    data_dir, files = copy_to_damage
    files.chmod(0)
    try:
        assert "Permission denied" in message("cifar10", data_dir=data_dir)
    finally:
        files.chmod(0o755)


PNG, JPEG = b"\x89PNG...", b"\xff\xd8\xff\xe0..."


@pytest.mark.parametrize(
    ("dataset", "description", "num_train", "num_test", "image", "title"),
    [
        ("cifar10", "", 50_000, 10_000, PNG, "CIFAR-10"),
        ("cifar10", "", 50_000, 10_000, JPEG, "CIFAR-10 (JPEG re-encoding)"),
        ("cifar10", 'report results on it as "CIFAR-10 (new)".', 50_000, 10_000, JPEG, "CIFAR-10 (new)"),
        ("cifar10", "", 49_999, 10_000, PNG, "CIFAR-10 (49,999 of 50,000 images)"),
        ("cifar10", "", 50_000, 500, PNG, "CIFAR-10 (500 of 10,000 test images)"),
        ("cifar100", "", 1_117, 916, PNG, "CIFAR-100 (1,117 of 50,000 images)"),
        ("cifar100", "", 50_000, 10_000, PNG, "CIFAR-100"),
    ],
)
def test_title_of_a_copy(dataset, description, num_train, num_test, image, title):
    assert title_of_copy(dataset, description, num_train, num_test, image) == title


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=80),
    st.integers(0, 2**32),
    st.sets(st.integers(0, 79), max_size=10),
)
def test_every_prefix_of_the_order_is_balanced(labels, seed, kept):
    labels = np.array(labels)
    first = np.isin(np.arange(len(labels)), list(kept))
    order = balanced_order(labels, np.random.default_rng(seed), first)
    assert sorted(order) == list(range(len(labels)))
    available = np.bincount(labels, minlength=7)
    for length in range(1, len(labels) + 1):
        counts = np.bincount(labels[order[:length]], minlength=7)
        # A class falls behind the largest by more than one only when it has no images left.
        assert np.all((counts >= counts.max() - 1) | (counts == available))
    for label in range(7):
        members = order[labels[order] == label]
        assert np.all(np.diff(first[members].astype(int)) <= 0)


def test_parts_are_balanced_seeded_and_nested():
    parts = {
        (num_train, seed): load("synthetic", num_train=num_train, num_test=1, seed=seed).train
        for num_train in (57, 100, 103)
        for seed in (0, 1)
    }
    for (num_train, _), part in parts.items():
        counts = np.bincount(part.labels, minlength=10)
        assert counts.sum() == num_train
        assert counts.max() - counts.min() <= 1
        assert np.all(np.diff(part.ids) > 0)
    assert set(parts[57, 0].ids) < set(parts[100, 0].ids) < set(parts[103, 0].ids)
    assert set(parts[100, 0].ids) != set(parts[100, 1].ids)
    again = load("synthetic", num_train=100, num_test=3, seed=0).train
    np.testing.assert_array_equal(again.ids, parts[100, 0].ids)
    np.testing.assert_array_equal(again.images, parts[100, 0].images)


def test_images_to_keep_take_places_in_their_class():
    without = load("synthetic", num_train=40, num_test=1).train
    keep = (49_991, 1, 11, 5)
    part = load("synthetic", num_train=40, num_test=1, keep=keep).train
    assert set(keep) <= set(part.ids.tolist())
    of_a_set = load("synthetic", num_train=40, num_test=1, keep=set(keep)).train
    np.testing.assert_array_equal(of_a_set.ids, part.ids)
    assert np.bincount(part.labels).tolist() == [4] * 10
    # Three kept images of class 1, one of class 5: as many others have gone.
    assert len(set(without.ids) - set(part.ids)) == 4
    # Class 1 comes up for the third time after two rounds of all ten classes.
    assert message("synthetic", num_train=4, keep=keep) == (
        "--num_train=4: must be at least 21 for a balanced set that holds images 1, 5, 11, 49991"
    )
    assert set(load("synthetic", num_train=21, num_test=1, keep=keep).train.ids) >= set(keep)


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"num_train": 0}, "--num_train=0: must be from 1 to 50000"),
        ({"num_train": -3}, "--num_train=-3: must be from 1 to 50000"),
        ({"num_train": 50_001}, "--num_train=50001: must be from 1 to 50000"),
        ({"num_train": 5, "num_test": 0}, "--num_test=0: must be from 1 to 10000"),
        ({"num_train": 5, "num_test": 10_001}, "--num_test=10001: must be from 1 to 10000"),
        ({"keep": (3, 50_000)}, "image 50000 is not among the 50,000 training images of the data set"),
    ],
)
def test_arguments_out_of_range(keywords, expected):
    assert message("synthetic", **keywords) == expected


def test_unknown_data_set():
    assert message("mnist") == "--dataset=mnist: must be one of cifar10, cifar100, synthetic"


def test_a_synthetic_image_does_not_depend_on_the_others():
    few = load("synthetic", num_train=30, num_test=20, seed=3)
    many = load("synthetic", num_train=300, num_test=200, seed=3)
    for small, large in ((few.train, many.train), (few.test, many.test)):
        positions = np.searchsorted(large.ids, small.ids)
        np.testing.assert_array_equal(large.ids[positions], small.ids)
        np.testing.assert_array_equal(large.images[positions], small.images)
        np.testing.assert_array_equal(small.labels, small.ids % 10)
    same_number = load("synthetic", num_train=30, num_test=20, keep=few.test.ids[:1].tolist())
    position = np.searchsorted(same_number.train.ids, few.test.ids[0])
    assert not np.array_equal(same_number.train.images[position], few.test.images[0])


def test_synthetic_images_can_be_learned_but_not_easily():
    loaded = load("synthetic", num_train=1_000, num_test=1_000)
    assert loaded.title == "synthetic images"
    assert loaded.num_classes == 10
    assert (loaded.train.images.dtype, loaded.train.labels.dtype) == ("float32", "int32")
    train, test = (split.images.reshape(1_000, -1) for split in (loaded.train, loaded.test))
    assert min(train.min(), test.min()) >= 0
    assert max(train.max(), test.max()) <= 1
    # Few pixels are clipped, and the contrast is near that of photographs (0.25 in CIFAR-10).
    assert np.mean((train == 0) | (train == 1)) < 0.05
    assert 0.15 < train.std() < 0.3
    # Ridge regression onto the classes, in its dual form.
    mean = train.mean(axis=0)
    train, test = train - mean, test - mean
    targets = np.eye(10)[loaded.train.labels] - 0.1
    weights = np.linalg.solve(train @ train.T + 300 * np.eye(1_000), targets)
    accuracy = np.mean(np.argmax(test @ train.T @ weights, axis=1) == loaded.test.labels)
    assert 0.4 < accuracy < 0.9


@pytest.mark.slow
def test_importing_touches_no_device():
    program = (
        "import common.data.images, common.data.corruption, common.data.augmentation\n"
        "from tensorflow.python.eager import context\n"
        "assert not context.context()._initialized"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="wants CIFAR-10 in the folder TFDS_DATA_DIR")
def test_cifar10_is_in_the_order_of_the_original_files():
    loaded = load("cifar10")
    assert loaded.title.startswith("CIFAR-10")
    np.testing.assert_array_equal(loaded.train.ids, np.arange(50_000))
    # The first labels of data_batch_1 and test_batch.
    assert loaded.train.labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert loaded.test.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert np.bincount(loaded.train.labels).tolist() == [5_000] * 10


def test_a_missing_data_set_is_fetched_when_asked(tmp_path, monkeypatch, capsys):
    import tensorflow_datasets as tfds

    fetched = []

    class Builder:
        def download_and_prepare(self):
            fetched.append("cifar10")

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Builder())
    with pytest.raises(UserError, match="no CIFAR-10 in"):
        load("cifar10", data_dir=tmp_path, download=True)  # the builder here prepares nothing
    assert fetched == ["cifar10"]
    assert capsys.readouterr().err.startswith(f"fetching CIFAR-10 into {tmp_path}/cifar10/")


def test_what_cannot_be_fetched_is_said(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    class Builder:
        def download_and_prepare(self):
            raise OSError("no route to host")

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Builder())
    with pytest.raises(UserError, match=r"^cannot fetch CIFAR-10 \(no route to host\); try again, or copy"):
        load("cifar10", data_dir=tmp_path, download=True)
