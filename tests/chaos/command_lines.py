"""Bad command lines of every program: each must be refused with one line that names what is wrong.

`python -m tests.chaos.command_lines` runs those that need no process of their own and prints what became of
them. A line is refused if the program ends with status 2, one line on standard error that holds a certain
word, nothing on standard output, nothing made in an empty folder, and without loading TensorFlow.
"""

import contextlib
import dataclasses
import importlib
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Iterator, Mapping, Sequence

ROOT = pathlib.Path(__file__).parents[2]
PAPERS = ("smooth_interpolation", "snapp_shamir", "somepalli_boundaries", "zhang_randomization")
SCORER = "replications.somepalli_boundaries --models"
_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Line:
    """A bad command line.

    Args:
        program: The module that is run; SCORER for the program that scores two models.
        arguments: Its arguments; {file} stands for a file, {models} for two.
        word: What the one line must contain.
        environment: Variables that are set, None for one that is not; given, the line needs a process.
        closed: A standard stream that is closed, 1 or 2.
    """

    program: str
    arguments: tuple
    word: str
    environment: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    closed: int | None = None

    @property
    def argv(self) -> list[str]:
        """The command line as it is typed."""
        return [*self.program.split(), *self.arguments]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a program did with a line: exit status, both outputs, names of files made."""

    status: int | None
    output: str
    error: str
    made: tuple
    loaded: bool = False

    def problems(self, line: Line) -> list[str]:
        """Says in what this is no refusal; empty for a good one."""
        found = []
        if self.status != 2:
            found.append(f"status {self.status}")
        if line.closed != 2 and (self.error.count("\n") != 1 or not self.error.endswith("\n")):
            found.append(f"{self.error.count(chr(10))} lines on standard error: {self.error[-300:]!r}")
        if line.closed != 2 and line.word not in self.error:
            found.append(f"{line.word!r} is not in {self.error[-300:]!r}")
        if self.output:
            found.append(f"standard output: {self.output[:100]!r}")
        if self.made:
            found.append(f"made {', '.join(self.made)}")
        if self.loaded:
            found.append("loaded TensorFlow")
        return found


# What every program with settings and runs must refuse.
_OF_RUNS = (
    ("--no_such_flag=1", "no_such_flag"),
    ("--out_dir=", "--out_dir=: names no folder"),
    ("--out_dir={file}", "is a file"),
    ("--out_dir={file}/below", "is a file"),
    ("--out_dir=/proc/results", "not writable"),
    (f"--out_dir={'n' * 300}", "has a name of 300 bytes"),
    (f"--out_dir={'/n' * 3000}", "--out_dir"),
    ("--out_dir=b\udcff", "is not UTF-8"),
    ("--num_seeds=0", "--num_seeds=0: must be from 1"),
    ("--num_seeds=-3", "--num_seeds=-3: must be from 1"),
    ("--num_seeds=100000000000000000000", "must be from 1 to 10000"),
    ("--num_seeds=2.5", "num_seeds"),
    ("--seed=-1", "--seed=-1: must be from 0"),
    ("--seed=9223372036854775808", "--seed=9223372036854775808"),
    ("--seed=0,,2", "has an empty place"),
    ("--seed=", "seed"),
    (f"--seed={','.join(map(str, range(10_001)))}", "--seed: the flags ask for 10,001 runs"),
    ("--seed=1,2,3 --num_seeds=9000", "--num_seeds: the flags ask for 27,000 runs"),
    ("--figure=none", "--figure=none"),
    ("--figure=", "--figure="),
    ("--scale=laptop", "--scale=laptop: is the scale of a figure"),
    ("--scale=huge", "--scale=huge"),
    ("--strategy=all", "--strategy=all"),
    ("--dry_run=perhaps", "dry_run"),
    ("--tensorboard=perhaps", "tensorboard"),
    ("word", "unexpected argument 'word'"),
    ("--learning_rate=nan", "--learning_rate=nan: must be a finite number above 0"),
    ("--learning_rate=0", "--learning_rate=0.0: must be a finite number above 0"),
    ("--learning_rate=-inf", "--learning_rate=-inf"),
    ("--learning_rate=fast", "learning_rate"),
)
_OF_IMAGES = (
    ("--data_dir=", "--data_dir=: names no folder"),
    ("--data_dir=nowhere", "--data_dir=nowhere: no such folder"),
    ("--data_dir={file}", "is a file"),
    (f"--data_dir={'n' * 300}", "has a name of 300 bytes"),
    ("--data_dir=b\udcff", "is not UTF-8"),
    ("--dataset=synthetic --data_dir=.", "--data_dir: no run reads a data set from files"),
    ("--dataset=synthetic --download", "--download: no run reads a data set from files"),
    ("--dataset=imagenet", "imagenet"),
    ("--num_train=50001", "--num_train=50001: must be from 1 to 50000"),
    ("--num_test=10001", "--num_test=10001: must be from 1 to 10000"),
    ("--batch_size=100 --num_train=99", "--batch_size=100: larger than the training set of 99 images"),
    ("--label_noise=1.1", "--label_noise=1.1: must be from 0 to 1"),
    ("--label_noise=nan", "--label_noise=nan"),
    ("--weight_decay=-1", "--weight_decay=-1.0"),
    ("--epochs=1000000000000", "--epochs=1000000000000"),
    ("--evaluate_every=0", "--evaluate_every=0"),
    ("--optimizer=lion", "lion"),
    ("--data_dir=.", "no CIFAR-10 in cifar10; --download fetches it"),
)
_OF_FIGURES = (
    ("--no_such_flag=1", "no_such_flag"),
    ("--figure=none", "--figure=none"),
    ("--scale=huge", "--scale=huge"),
    ("--records=", "--records=: names no folder"),
    ("--records=nowhere", "--records=nowhere: no such folder"),
    ("--records={file}", "is a file"),
    (f"--records={'n' * 300}", "has a name of 300 bytes"),
    ("--out_dir=", "--out_dir=: names no folder"),
    ("--out_dir={file}", "is a file"),
    ("--out_dir=/proc/pictures", "not writable"),
    (f"--out_dir={'n' * 300}", "has a name of 300 bytes"),
    ("--out_dir=b\udcff", "is not UTF-8"),
    ("--scale=smoke", "runs are missing in results/runs"),
    ("--seed=-1", "--seed=-1: must be from 0"),
    ("--learning_rate=nan", "--learning_rate=nan: must be a finite number above 0"),
    ("--learning_rate=0.1,0.2", "a picture takes one value"),
    ("word", "unexpected argument 'word'"),
)
_FEW_FIGURES = {
    "smooth_interpolation": "2",
    "snapp_shamir": "4",
    "somepalli_boundaries": "8",
    "zhang_randomization": "2a",
}
_OWN = {
    "replications.smooth_interpolation": (
        ("--strengths=5,,10", "has an empty place"),
        ("--strengths=10-5", "must be rising positive whole numbers"),
        ("--strengths=5-30", "need 33 singular values"),
        ("--num_paths=10", "need 34 singular values"),
        ("--network=polynomial", "only with --dataset=scalar"),
        ("--dataset=scalar --network=convnet", "one of polynomial, mlp"),
        ("--dataset=scalar --num_train=1", "must be at least 2"),
        ("--dataset=scalar --width=4", "--width=4: has no effect"),
        ("--dataset=scalar --batch_size=4", "--batch_size=4: has no effect without a data set of images"),
        ("--dataset=scalar --num_copies=3", "--num_copies=3: has no effect"),
        ("--dataset=scalar --optimizer=adam", "--optimizer=adam: has no effect"),
        ("--dataset=scalar --network=mlp --degree=3", "--degree=3: has no effect"),
        ("--dataset=scalar --tensorboard", "--tensorboard: no run writes scalars"),
        ("--dataset=scalar --data_dir=.", "--data_dir: no run reads"),
        ("--degree=3", "--degree=3: has no effect without --dataset=scalar"),
        ("--target_noise=0.1", "--target_noise=0.1: has no effect without --dataset=scalar"),
        ("--initialization=fixup", "--initialization=fixup: has no effect without --network=resnet18w"),
        ("--optimizer=adam --warmup_rate=0.1", "--warmup_rate=0.1: has no effect without --warmup_epochs"),
        ("--warmup_epochs=1", "--warmup_epochs=1: must be 0, or at least 2"),
        ("--corrupted_classes=first", "has no effect without --noise=asymmetric"),
        ("--corrupted_fraction=0.5", "has no effect without --noise=asymmetric"),
        ("--noise=asymmetric --label_noise=0.2", "it follows from"),
        ("--noise=asymmetric --num_corrupted_classes=11", "must be from 0 to 10"),
        ("--num_train=500 --split_seed=7", "--split_seed=7: has no effect without --num_validation"),
        ("--data_seed=3", "--data_seed=3: has no effect without --num_train or --num_test"),
        ("--label_noise=0 --label_seed=3", "--label_seed=3: has no effect without --label_noise"),
        ("--num_train=500 --num_samples=501", "--num_samples=501: must be from 1 to 500"),
        ("--figure=1a --width=3", "--width: no run of figure 1a has a use for it"),
        ("--figure=2 --degree=3", "--degree: no run of figure 2 has a use for it"),
    ),
    "replications.snapp_shamir": (
        ("--pairs=0", "--pairs=0: must be from 1 to 65536"),
        ("--pairs=1000000", "--pairs=1000000"),
        ("--shuffle_log2=22", "must be from 0 to 21"),
        ("--shuffle_log2=-1", "must be from 0 to 21"),
        ("--shuffle_log2=abc", "'abc' is not a whole number"),
        ("--examples_log2=32", "--examples_log2=32: must be from 0 to 31"),
        ("--batch_size=33", "--batch_size=33: does not divide"),
        ("--batch_size=64 --examples_log2=5", "larger than the data"),
        ("--evaluate_every_log2=4", "must be from 5"),
        ("--beta=1", "--beta=1.0: has no effect without --activation=smelu or swish"),
        ("--activation=smelu --beta=0", "--beta=0.0: must be a finite number above 0"),
        ("--model=linear --activation=relu", "--activation=relu: has no effect without a --model"),
        ("--warm_start_learning_rate=0.1", "has no effect without --warm_start"),
        ("--warm_start --init=distinct", "--init=distinct: a warm start"),
        ("--batch_order=fixed --shuffle_log2=1", "--batch_order=fixed: only with --shuffle_log2=0"),
        ("--warm_start=1,maybe", "'maybe' is neither true nor false"),
        ("--model=cnn", "'cnn' is not one of"),
        ("--precision=float16", "'float16' is not one of"),
        ("--figure=4 --beta=3", "--beta: no run of figure 4 has a use for it"),
        ("--figure=2 --model=linear --activation=relu", "--activation: no run of figure 2 has a use for it"),
        ("--data_dir=.", "data_dir"),
        (
            f"--shuffle_log2={','.join(map(str, range(22)))} --model=linear,single,double,tower,wide "
            f"--init=identical,distinct --pairs={','.join(map(str, range(1, 60)))}",
            "the flags ask for 12,980 runs",
        ),
    ),
    "replications.somepalli_boundaries": (
        ("--depth=10 --network=resnet18", "--depth=10: has no effect without a Wide ResNet"),
        ("--network=wide_resnet_10 --depth=11", "must be 4 plus a positive multiple of 6"),
        ("--network=wide_resnet_10 --depth=4", "--depth=4: must be from 10"),
        ("--network=vit --width=12", "--width=12: vit takes multiples of 8"),
        ("--network=alexnet", "'alexnet' is not one of"),
        ("--temperature=4", "--temperature=4.0: has no effect without --teacher"),
        ("--teacher_seed=4", "--teacher_seed=4: has no effect without --teacher"),
        ("--teacher_width=4", "--teacher_width=4: has no effect without --teacher"),
        ("--distillation=kl", "--distillation=kl: has no effect without --teacher"),
        (
            "--teacher=vgg19 --distillation=logits --temperature=4",
            "has no effect without --teacher, and --distillation=kl",
        ),
        ("--teacher=vgg19 --mixup", "--mixup: not with --teacher"),
        ("--label_noise_rule=nakkiran", "--label_noise_rule=nakkiran: has no effect without --label_noise"),
        ("--margin_direction=gaussian", "has no effect without --num_margin_images"),
        ("--margin_bisections=3", "--margin_bisections=3: has no effect without --num_margin_images"),
        ("--augmentation=none --augmentation_seed=3", "--augmentation_seed=3: has no effect"),
        ("--checkpoint=best_test --evaluate_every=2", "--evaluate_every=2: has no effect"),
        ("--resolution=1", "--resolution=1: must be from 2 to 10000"),
        ("--resolution=100000000", "--resolution=100000000"),
        ("--num_triplets=0", "--num_triplets=0"),
        ("--num_triplets=1000000000000", "--num_triplets=1000000000000"),
        ("--num_margin_images=-1", "--num_margin_images=-1"),
        ("--checkpoint=best", "'best' is not one of"),
        ("--dataset=cifar100", "'cifar100' is not one of"),
        ("--figure=10 --teacher_seed=3", "--teacher_seed: no run of figure 10 has a use for it"),
    ),
    "replications.zhang_randomization": (
        ("--nodecay_weights --weight_decay=0.1", "--weight_decay=0.1: has no effect without --decay_weights"),
        ("--decay_weights --weight_decay=0", "not with --decay_weights"),
        (
            "--gaussian_statistics=image --condition=true_labels",
            "--gaussian_statistics=image: has no effect without --condition=gaussian_pixels",
        ),
        ("--condition=corrupted_labels", "needs --label_noise"),
        ("--condition=random_labels --label_noise=0.5", "random labels are --label_noise=1"),
        ("--condition=random_pixels --label_noise=0.5", "not with --condition=random_pixels"),
        ("--condition=random_pixels --augmentation=random_crop", "--augmentation=random_crop: has no effect"),
        ("--condition=noise", "'noise' is not one of"),
        ("--stop=epochs --target_accuracy=0.9", "--target_accuracy=0.9: has no effect without --stop=fitted"),
        ("--stop=epochs --target_loss=0.1", "--target_loss=0.1: has no effect without --stop=fitted"),
        ("--target_accuracy=1.2", "--target_accuracy=1.2: must be from 0.01 to 1"),
        ("--target_loss=0", "--target_loss=0.0: must be a finite number above 0"),
        ("--network=alexnet --batch_norm=none", "--batch_norm=none: has no effect"),
        ("--network=alexnet --batch_norm_momentum=0.9", "--batch_norm_momentum=0.9: has no effect"),
        ("--network=mlp_1x512 --dropout=0.1", "--dropout=0.1: has no effect without a convolutional"),
        ("--dropout=1", "--dropout=1.0: must be from 0 to 0.99"),
        ("--batch_norm_momentum=1", "must be from 0 to 0.9999"),
        ("--learning_rate_decay=0", "--learning_rate_decay=0.0"),
        ("--figure=1b --network=mlp_3x512 --batch_norm=none", "--batch_norm: no run of figure 1b"),
        (
            "--figure=1b --network=mlp_3x512 --batch_norm_momentum=0.9",
            "--batch_norm_momentum: no run of figure 1b has a use for it",
        ),
        ("--figure=1a --weight_decay=0.1", "--weight_decay: no run of figure 1a has a use for it"),
    ),
    "figures.snapp_shamir": (
        ("--figure=4 --beta=3", "--beta: no run of figure 4 has a use for it"),
        ("--figure=4 --shuffle_log2=3", "--shuffle_log2=3: figure 4 compares runs by this setting"),
        ("--figure=4 --pairs=0", "--pairs=0: must be from 1"),
        ("--figure=4 --pairs=", "pairs"),
        ("--figure=all --seed=-1", "--seed=-1: must be from 0"),
        ("--figure=all --learning_rate=nan", "--learning_rate=nan: must be"),
        ("--figure=all --scale=paper", "no figure could be drawn"),
        ("--figure=all --records=", "--records=: names no folder"),
        ("--figure=all --out_dir=/proc/pictures", "not writable"),
    ),
    "figures.zhang_randomization": (
        ("--figure=1a --weight_decay=0.1", "--weight_decay: no run of figure 1a"),
        ("--figure=1b --label_noise=0.5", "--label_noise=0.5: figure 1b compares runs by this setting"),
    ),
    "figures.report": (
        ("--no_such_flag=1", "no_such_flag"),
        ("--records=", "--records=: names no folder"),
        ("--records=nowhere", "--records=nowhere: no such folder"),
        ("--records={file}", "is a file"),
        ("--records=.", "no finished run of a figure"),
        ("--records=. --out=", "--out=: must be a file in a folder that exists"),
        ("--records=. --out=.", "--out=.: must be a file"),
        ("--records=. --out=nowhere/report.html", "must be a file in a folder that exists"),
        ("--records=. --out=/proc/report.html", "not writable"),
        (f"--records=. --out={'n' * 300}", "has a name of 300 bytes"),
        ("--records=. --out={file}/report.html", "must be a file in a folder that exists"),
        ("--out=b\udcff.html", "is not UTF-8"),
        ("--scale=huge", "--scale=huge: must be one of"),
        ("--scale=laptop,huge", "--scale=huge: must be one of"),
        ("--replication=other", "--replication=other"),
        ("word", "unexpected argument 'word'"),
    ),
    "launch.sweep": (
        ("", "--replication: must be one of"),
        ("--replication=other", "--replication: must be one of"),
        ("--replication=", "--replication: must be one of"),
        ("--replication=snapp_shamir", "a sweep has several runs"),
        ("--replication=snapp_shamir --replication=zhang_randomization", "--replication: must be one of"),
        ("--replication=snapp_shamir --figure=4 --workers=0", "workers"),
        ("--replication=snapp_shamir --figure=4 --workers=100000000000000000000", "workers"),
        ("--replication=snapp_shamir --figure=4 --workers=two", "workers"),
        ("--replication=snapp_shamir --figure=5", "--figure=5"),
        ("--replication=snapp_shamir --figure=4 --out_dir=", "--out_dir=: names no folder"),
        ("--replication=snapp_shamir --figure=4 --out_dir={file}", "is a file"),
        ("--replication=snapp_shamir --figure=4 --out_dir=/proc/results", "not writable"),
        ("--replication=snapp_shamir --figure=4 --beta=3", "--beta: no run of figure 4"),
        ("--replication=zhang_randomization --figure=1a --data_dir=nowhere", "no such folder"),
        ("--replication=zhang_randomization --figure=1a --data_dir=.", "no CIFAR-10 in cifar10"),
        ("--replication=zhang_randomization --figure=1a --data_dir=", "--data_dir=: names no folder"),
        ("--replication=zhang_randomization --figure=1a --scale=smoke --data_dir=.", "--data_dir: no run"),
        ("--replication=snapp_shamir word", "unexpected argument 'word'"),
    ),
    "launch.benchmark": (
        ("--no_such_flag=1", "no_such_flag"),
        ("--suite=videos", "--suite=videos"),
        ("--models=linear,deep", "deep: not a model of the suite"),
        ("--models=", "choose from linear"),
        ("--suite=images --models=linear", "linear: not a model of the suite"),
        ("--seconds=0", "--seconds=0.0: must be a finite number above 0"),
        ("--seconds=nan", "--seconds=nan: must be a finite number above 0"),
        ("--seconds=inf", "--seconds=inf: must be a finite number above 0"),
        ("--seconds=1e300", "at most 3600"),
        ("--seconds=soon", "seconds"),
        ("--json=perhaps", "json"),
        ("word", "unexpected argument 'word'"),
    ),
    SCORER: (
        ("--models=a.keras", "must be two files"),
        ("--models=", "must be two files"),
        ("--models=a,b,c", "must be two files"),
        ("--models=a.keras,b.keras", "no file a.keras"),
        ("--models={file},{file}", "it is empty"),
        ("--models=.,.", "it is a folder"),
        ("--models={models} --triplet=1,2,50000", "image 50000 is not among the training images"),
        ("--models={models} --triplet=1,2,-3", "image -3 is not among the training images"),
        ("--models={models} --data_dir=", "--data_dir=: names no folder"),
        ("--models={models} --data_dir=nowhere", "--data_dir=nowhere: no such folder"),
        ("--models={models} --out=/proc/a.png", "not writable"),
        (f"--models={{models}} --out={'n' * 300}.png", "has a name of 304 bytes"),
        ("--models={models} --triplet=1,2", "must be three image numbers"),
        ("--models={models} --triplet=1,2,2", "three different images"),
        ("--models={models} --triplet=a,b,c", "must be three image numbers"),
        ("--models={models} --out=nowhere/a.png", "--out=nowhere/a.png"),
        ("--models={models} --out=a.gif", "--out=a.gif"),
        ("--models={models} --num_triplets=1", "num_triplets"),
        ("--models={models} --resolution=1", "resolution"),
        ("--models={models} --input_scaling=big", "--input_scaling=big"),
        ("--models={models} --dataset=mnist", "--dataset=mnist"),
        ("--models={models} --figure=8", "figure"),
        ("--models={models} word", "unexpected argument 'word'"),
    ),
}
_CLUSTER = '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}'
_SMOKE = "--figure=4 --scale=smoke"
_ZHANG_SMOKE = "--replication=zhang_randomization --figure=1a --scale=smoke"
# Of what a program meets around it, one at least for each program that trains.
_SURROUNDINGS = (
    *(
        (f"replications.{paper}", "--strategy=multi_worker", "TF_CONFIG is not set", {"TF_CONFIG": None})
        for paper in PAPERS
    ),
    ("replications.snapp_shamir", "--strategy=multi_worker", "names 'ps'", {"TF_CONFIG": _CLUSTER}),
    ("replications.snapp_shamir", "--strategy=multi_worker", "TF_CONFIG names no", {"TF_CONFIG": "[]"}),
    ("replications.snapp_shamir", _SMOKE, "KERAS_BACKEND=jax", {"KERAS_BACKEND": "jax"}),
    ("replications.smooth_interpolation", "--dataset=scalar", "=torch", {"KERAS_BACKEND": "torch"}),
    ("replications.zhang_randomization", "--dataset=synthetic", "=jax", {"KERAS_BACKEND": "jax"}),
    ("launch.benchmark", "--models=linear", "KERAS_BACKEND=jax", {"KERAS_BACKEND": "jax"}),
    ("launch.sweep", _ZHANG_SMOKE, "KERAS_BACKEND=jax", {"KERAS_BACKEND": "jax"}),
    ("launch.sweep", f"{_ZHANG_SMOKE} --strategy=multi_worker", "TF_CONFIG", {"TF_CONFIG": "{}"}),
    ("replications.zhang_randomization", "", "no CIFAR-10 in nowhere", {"TFDS_DATA_DIR": "nowhere"}),
    (SCORER, "--models={models} --dataset=synthetic", "KERAS_BACKEND=jax", {"KERAS_BACKEND": "jax"}),
)


def lines() -> list[Line]:
    """The lines that a program refuses without a process of its own."""
    found = []
    for paper in PAPERS:
        cases = _OF_RUNS + (_OF_IMAGES if paper != "snapp_shamir" else ())
        found += [Line(f"replications.{paper}", tuple(text.split(" ")), word) for text, word in cases]
        few = f"--figure={_FEW_FIGURES[paper]}"
        found += [
            Line(f"figures.{paper}", (few, *text.split(" ")), word)
            if "--figure" not in text
            else Line(f"figures.{paper}", tuple(text.split(" ")), word)
            for text, word in _OF_FIGURES
        ]
        found += _outside_limits(paper)
    for program, cases in _OWN.items():
        found += [Line(program, tuple(filter(None, text.split(" "))), word) for text, word in cases]
    return list({tuple(line.argv): line for line in reversed(found)}.values())


def _outside_limits(paper: str) -> Iterator[Line]:
    """For each setting of a paper with limits, a value below them and, if there is a highest, one above."""
    settings = importlib.import_module(f"replications.{paper}.settings").Settings
    for field in dataclasses.fields(settings):
        limits = field.metadata["limits"]
        # A flag that has no effect beside the defaults is refused for that.
        if limits and field.metadata["used"] is None:
            outside = [limits.low if limits.above else limits.low - 1]
            outside += [limits.high + 1] if limits.high < math.inf else []
            for value in outside:
                yield Line(f"replications.{paper}", (f"--{field.name}={value}",), f"--{field.name}=")


def lines_with_a_process() -> list[Line]:
    """The lines that need an environment or streams of their own."""
    found = [
        Line(program, tuple(filter(None, text.split(" "))), word, environment)
        for program, text, word, environment in _SURROUNDINGS
    ]
    for paper in PAPERS:
        found.append(Line(f"replications.{paper}", ("--seed=-1",), "--seed=-1", closed=1))
        found.append(Line(f"replications.{paper}", ("--seed=-1",), "--seed=-1", closed=2))
        found.append(Line(f"figures.{paper}", ("--records=",), "--records=", closed=2))
    return found


def _main(program: str):
    """The main function of a program, of the whole command line."""
    if program == SCORER:
        return importlib.import_module("replications.somepalli_boundaries.score").main
    package, name = program.split(".")
    if package == "replications":
        paper = importlib.import_module(f"{program}.settings").REPLICATION
        return lambda argv: importlib.import_module("common.program").main(paper, argv)
    if package == "figures" and name != "report":
        gallery = importlib.import_module(f"{program}.gallery").GALLERY
        return lambda argv: importlib.import_module("figures.drawing").main(gallery, argv)
    return importlib.import_module(program).main


@contextlib.contextmanager
def _folder() -> Iterator[tuple[pathlib.Path, dict]]:
    """An empty working folder, and the texts that stand for files beside it."""
    with tempfile.TemporaryDirectory() as above:
        names = {"file": f"{above}/file", "models": f"{above}/a.keras,{above}/b.keras"}
        pathlib.Path(above, "file").touch()
        for name in ("a.keras", "b.keras"):
            # What a saved model looks like before it is loaded.
            with zipfile.ZipFile(pathlib.Path(above, name), "w") as archive:
                archive.writestr("config.json", "{}")
        empty = pathlib.Path(above, "empty")
        empty.mkdir()
        yield empty, names


def _filled(line: Line, names: Mapping[str, str]) -> list[str]:
    arguments = list(line.arguments)
    for name, text in names.items():
        arguments = [argument.replace(f"{{{name}}}", text) for argument in arguments]
    return arguments


def _made(folder: pathlib.Path) -> tuple:
    return tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*")))


def run(line: Line) -> Outcome:
    """Runs a line in this process."""
    main, before = _main(line.program), "tensorflow" in sys.modules
    output, error, status = io.StringIO(), io.StringIO(), None
    with _folder() as (folder, names):
        argv = ["program", *_filled(line, names)]
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(error),
        ):
            try:
                main(argv)
                status = 0
            except SystemExit as end:
                status = end.code
            except BaseException:
                traceback.print_exc()
        loaded = "tensorflow" in sys.modules and not before
        return Outcome(status, output.getvalue(), error.getvalue(), _made(folder), loaded)


def run_in_process(line: Line) -> Outcome:
    """Runs a line as a process of its own."""
    environment = {name: text for name, text in os.environ.items() if name not in line.environment}
    environment |= {name: text for name, text in line.environment.items() if text is not None}
    environment["PYTHONPATH"] = str(ROOT)
    with _folder() as (folder, names):
        program = line.program.removesuffix(" --models")
        command = [sys.executable, "-m", program, *_filled(line, names)]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            preexec_fn=None if line.closed is None else lambda: os.close(line.closed),
        )
        return Outcome(done.returncode, done.stdout, done.stderr, _made(folder))


def run_all() -> list[tuple[list[str], Outcome]]:
    """Runs every line, those with a process last; `Outcome.problems` says of each whether it is well refused.

    Returns:
        (argv, Outcome) of each, in the order of `lines()` and `lines_with_a_process()`.
    """
    found = [(line.argv, run(line)) for line in lines()]
    return found + [(line.argv, run_in_process(line)) for line in lines_with_a_process()]


def problems(outcomes: Sequence[tuple[Line, Outcome]]) -> dict[str, list[str]]:
    """Returns what is wrong with each line that is not well refused: line -> problems."""
    found = {ascii(" ".join(line.argv))[:200]: outcome.problems(line) for line, outcome in outcomes}
    return {text: wrong for text, wrong in found.items() if wrong}


if __name__ == "__main__":
    chosen = lines()
    wrong = problems([(line, run(line)) for line in chosen])
    print(json.dumps({"lines": len(chosen), "tensorflow": "tensorflow" in sys.modules, "problems": wrong}))
