"""`python -m launch.doctor`: what this machine has for the suite, and for each trouble its cure in one line.

    python -m launch.doctor --gpu --slurm --data_dir=DIR

Its status is 1 if something that was asked for cannot work, else 0.
"""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("doctor", goes_on=False)  # also while the rest is imported

import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

from absl import flags

from common.data.datasets import DATASETS, root_folder
from common.errors import UserError, in_one_line
from common.machine import usable_cores, usable_memory
from common.study import command_line
from common.study.folders import check_folder
from common.study.startup import import_quietly
from launch.executors.slurm import last_words

_USAGE = "python -m launch.doctor [--gpu] [--slurm] [--data_dir=DIR]"
_PYTHON = ((3, 11), (3, 14))  # the first that will do, the first that will not
_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scipy", "pandas", "matplotlib")
_ROOT = pathlib.Path(__file__).parents[1]
_LEAST_DISK = 5 * 10**9
_INSTALL = "pip install -r requirements.txt"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Args:
        name: What was looked at.
        text: What was found.
        cure: One line; None where nothing is wrong.
        asked: Whether it was asked for: then the trouble counts.
    """

    name: str
    text: str
    cure: str | None = None
    asked: bool = False

    def __str__(self) -> str:
        mark = "ok" if self.cure is None else "FAIL" if self.asked else "note"
        return f"{mark:<5} {self.name:<19} {self.text}" + (f"; {self.cure}" if self.cure else "")


def versions() -> Iterator[Finding]:
    """Python and the packages, against the ranges of requirements.txt."""
    good = _PYTHON[0] <= sys.version_info[:2] < _PYTHON[1]
    cure = None if good else "use Python 3.11 to 3.13: make clean run PYTHON=python3.12"
    yield Finding("Python", platform.python_version(), cure, asked=True)
    wanted = dict(
        re.findall(r"^([\w-]+)([<>=][^ #\n]*)", (_ROOT / "requirements.txt").read_text(), re.MULTILINE)
    )
    for package in _PACKAGES:
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(package, "is not installed", _INSTALL, asked=True)
            continue
        fits = _fits(found, wanted[package])
        yield Finding(package, found, None if fits else f"tested with {wanted[package]}: {_INSTALL}")


def _fits(version, limits):
    """Whether a version lies within limits such as ">=2.21,<2.22"."""
    number = _numbers(version)
    pairs = [
        (limit[:2], limit[2:]) if limit[1] == "=" else (limit[:1], limit[1:]) for limit in limits.split(",")
    ]
    return all(number >= _numbers(text) if sign == ">=" else number < _numbers(text) for sign, text in pairs)


def _numbers(version):
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def devices(asked: bool) -> Iterator[Finding]:
    """Cores, memory and GPUs, and CUDA and cuDNN as built and as found.

    Args:
        asked: Whether a GPU is needed.
    """
    memory = usable_memory() / 2**30
    yield Finding(
        "processor", f"{platform.machine()}, {len(usable_cores())} cores, {memory:.0f} GiB of memory"
    )
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    built = {name: build.get(f"{name}_version") for name in ("cuda", "cudnn")}
    driver, libraries = _driver(), _nvidia_packages()
    yield Finding(
        "CUDA", _both(built["cuda"], libraries.get("cuda-runtime"), f"driver {driver or 'not found'}")
    )
    yield Finding("cuDNN", _both(built["cudnn"], libraries.get("cudnn")))
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    cure = None
    if not gpus:
        if driver is None:
            cure = "install NVIDIA's driver, until nvidia-smi lists the GPU"
        elif "cudnn" not in libraries:
            cure = "pip install -r requirements-gpu.txt"
        elif os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
            cure = "unset CUDA_VISIBLE_DEVICES, which hides them"
        else:
            cure = f"CUDA {built['cuda']} needs a newer driver, or the GPU is too old for it"
    yield Finding("GPUs", f"{len(gpus)} {', '.join(names)}".strip(), cure if asked or driver else None, asked)


def _both(built, found, more=None):
    words = [f"TensorFlow is built for {built or 'none'}", f"found {found or 'none'}", more]
    return ", ".join(word for word in words if word)


def _driver():
    """The version of NVIDIA's driver; None without one."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.split()), None)


def _nvidia_packages():
    """NVIDIA's libraries that pip installed: "cudnn" -> version."""
    found = {}
    for distribution in importlib.metadata.distributions():
        if match := re.fullmatch(r"nvidia-(.+?)-cu\d+", distribution.metadata["Name"] or ""):
            found[match[1]] = distribution.version
    return found


def data_sets(data_dir: str | None) -> Iterator[Finding]:
    """Where the image data sets are.

    Args:
        data_dir: The folder that was asked for; None: tensorflow-datasets' own.
    """
    root = root_folder(data_dir)
    for name, dataset in DATASETS.items():
        if dataset.from_files:
            there = any((root / name).glob("*/dataset_info.json"))
            flag = f" --data_dir={data_dir}" if data_dir else ""
            cure = (
                f"fetch it: python -m replications.zhang_randomization --dataset={name} --num_train=128 "
                f"--epochs=1 --network=mlp_1x512 --download{flag}"
            )
            found = f"in {root / name}" if there else f"not in {root / name}"
            # One of them is enough to begin with.
            yield Finding(
                dataset.title, found, None if there else cure, data_dir is not None and name == "cifar10"
            )


def disk(data_dir: str | None) -> Iterator[Finding]:
    """Free space where runs and data go."""
    for flag, folder in {"out_dir": "results/runs", "data_dir": data_dir}.items():
        if folder is not None:
            path = pathlib.Path(folder).absolute()
            existing = next(parent for parent in (path, *path.parents) if parent.exists())
            free = shutil.disk_usage(existing).free
            cure = None if free > _LEAST_DISK else f"free some, or choose another --{flag}"
            yield Finding("free disk", f"{free / 1e9:.1f} GB for {folder}", cure)


def mirrored() -> Iterator[Finding]:
    """A step of a small network on two devices, against one device."""
    check = import_quietly("launch.mirrored_check")
    try:
        kind, difference = check.compare()
    except UserError:
        raise
    except Exception as error:  # a GPU in use, or a library of CUDA that does not fit
        cure = "train with --device=cpu until the driver and the libraries of the GPU work"
        yield Finding("mirrored", f"failed: {in_one_line(error)}", cure, asked=True)
        return
    fine = difference < check.TOLERANCE
    cure = None if fine else "train with --strategy=one_device, and report it with this page"
    text = f"{kind} devices, weights after 4 steps differ from one device's by {difference:.1e}"
    yield Finding("mirrored", text, cure, asked=True)


def slurm(asked: bool) -> Iterator[Finding]:
    """Whether jobs can be submitted from here.

    Args:
        asked: Whether Slurm is needed.
    """
    if shutil.which("sbatch") is None:
        cure = "run it on a login node of the cluster, where sbatch is" if asked else None
        yield Finding("Slurm", "none here", cure, asked)
        return
    try:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%P %a %D nodes %G"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        yield Finding("Slurm", "partitions: " + ", ".join(done.stdout.split("\n")[:-1]))
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("Slurm", f"does not answer: {last_words(error)}", "ask its administrator", asked)
    there = importlib.util.find_spec("submitit") is not None
    text = f"submitit {importlib.metadata.version('submitit')}" if there else "submitit is not installed"
    yield Finding("submitit", text, None if there else "pip install -r requirements-slurm.txt", asked)


def examine(gpu: bool, slurm_asked: bool, data_dir: str | None) -> Iterator[Finding]:
    """Looks at everything, one finding after the other."""
    yield from versions()
    try:
        import_quietly("common.distribution")
    except UserError:
        raise
    except Exception as error:  # a library that is missing, or one that does not fit another
        cure = "pip install -r requirements.txt, in a fresh environment"
        yield Finding("TensorFlow", f"cannot be imported: {in_one_line(error)}", cure, asked=True)
    else:
        yield from devices(gpu)
        yield from mirrored()
    yield from data_sets(data_dir)
    yield from disk(data_dir)
    yield from slurm(slurm_asked)


def _define_flags(flag_values):
    flags.DEFINE_bool("gpu", False, "A GPU is needed.", flag_values=flag_values)
    flags.DEFINE_bool("slurm", False, "Slurm is needed.", flag_values=flag_values)
    flags.DEFINE_string(
        "data_dir", None, "Folder of the image data sets; they are needed.", flag_values=flag_values
    )


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits with its status."""
    flag_values = flags.FlagValues()
    _define_flags(flag_values)
    with command_line.exit_status("doctor", goes_on=False):
        command_line.parse_flags(flag_values, sys.argv if argv is None else argv, _USAGE)
        if flag_values.data_dir is not None:
            check_folder("data_dir", flag_values.data_dir, "make it, and fetch data with --download")
        failed = False
        for finding in examine(flag_values.gpu, flag_values.slurm, flag_values.data_dir):
            print(finding, flush=True)
            failed |= finding.cure is not None and finding.asked
        if failed:
            sys.exit(1)


if __name__ == "__main__":
    main()
