"""Checks of the claims on architectures, optimizers, distillation and images that are no data."""

import itertools
import math

import numpy as np

from common.study.claims import claim
from common.study.decisions import together
from common.study.records import last
from common.study.verdicts import Sample, above, below, compare, near_published
from replications.somepalli_boundaries.claims.shared import Scores, mean_of
from replications.somepalli_boundaries.published import (
    CONVOLUTIONAL,
    DISTILLED,
    MATRIX_NETWORKS,
    NETWORK_NAMES,
    OPTIMIZER_ACCURACY,
    OPTIMIZER_NAMES,
    OPTIMIZER_NETWORKS,
    OPTIMIZER_REPRODUCIBILITY,
    RANDOM_KINDS,
    REPRODUCIBILITY_MATRIX,
    VANILLA,
    WIDE_RESNETS,
)
from replications.somepalli_boundaries.results import PairScores, groups, score_and_error

_MATRIX = "reproducibility matrix, section 3"
_OPTIMIZERS = "tables of optimizers, section 3"
_MATRIX_RUNS = ("reproducibility",)
_OPTIMIZER_RUNS = ("optimizers",)


_SCORE = "reproducibility"
# How far from a published score a replication may lie: two published runs of one setting (VGG with SGD, in
# the matrix and in the table of optimizers) differ by 0.02.
_TOLERANCE = 0.02
_NUM_STUDENTS = 4  # of the five of the published tables
# "One or very few" classes of ten, on a plane.
_FEW_CLASSES = 3


def _matrix(evidence):
    """Networks in the paper's order, and the `PairScores` of their seeds."""
    found = groups(evidence.runs(), lambda settings: settings.network)
    return [network for network in MATRIX_NETWORKS if network in found], PairScores(found)


@claim(
    1,
    "Every architecture is more alike to itself, from another seed, than to any other architecture.",
    _MATRIX,
    _MATRIX_RUNS,
)
def diagonal_is_largest(evidence):
    networks, pairs = _matrix(evidence)
    gaps = [
        Scores(
            f"{NETWORK_NAMES[a]} with itself minus with {NETWORK_NAMES[b]}",
            pairs,
            ((1.0, (a, a)), (-1.0, (a, b))),
        )
        for a, b in itertools.permutations(networks, 2)
    ]
    return together(compare(f"difference of {_SCORE}", gaps, above(0)))


def _steps(pairs, networks):
    """Differences of the diagonal cells of consecutive networks."""
    return [
        Scores(f"{NETWORK_NAMES[a]} minus {NETWORK_NAMES[b]}", pairs, ((1.0, (a, a)), (-1.0, (b, b))))
        for a, b in itertools.pairwise(networks)
    ]


@claim(
    2,
    "In the ResNet family wider networks are more reproducible: WideRN30 0.87, WideRN10 0.86, ResNet18 0.83.",
    _MATRIX,
    _MATRIX_RUNS,
)
def wider_is_more_reproducible(evidence):
    networks, pairs = _matrix(evidence)
    widest, *others = WIDE_RESNETS  # the published scores of the others are equal
    chains = [[network for network in (widest, other, "resnet18") if network in networks] for other in others]
    steps = [step for chain in chains for step in _steps(pairs, chain)]
    return together(compare(f"difference of {_SCORE}", steps, above(0)))


@claim(
    3,
    "ResNet18 is the most reproducible of the others, then DenseNet, VGG, ViT, the fully connected and "
    "MLPMixer.",
    _MATRIX,
    _MATRIX_RUNS,
)
def order_of_architectures(evidence):
    networks, pairs = _matrix(evidence)
    order = ("resnet18", "densenet121", "vgg19", "vit", "fully_connected", "mlp_mixer")
    present = [network for network in order if network in networks]
    return together(compare(f"difference of {_SCORE}", _steps(pairs, present), above(0)))


def _blocks(networks):
    """Cells of the blocks of the matrix, most alike first; blocks without a network are left out."""
    convolutional = [network for network in networks if network in CONVOLUTIONAL]
    blocks = {"convolutional with convolutional": list(itertools.combinations(convolutional, 2))}
    for other, words in (("vit", "ViT"), ("mlp_mixer", "MLPMixer")):
        if other in networks:
            blocks[f"convolutional with {words}"] = [(network, other) for network in convolutional]
    others = [network for network in networks if network != "fully_connected"]
    if "fully_connected" in networks:
        blocks["FullyCon with any"] = [(network, "fully_connected") for network in others]
    return blocks


@claim(
    4,
    "Convolutional networks are most alike (0.77 and more), less so to ViT (0.63), less to MLPMixer "
    "(0.60), and nothing is like the fully connected network (0.44 to 0.47); ViT is nearer to MLPMixer.",
    _MATRIX,
    _MATRIX_RUNS,
)
def blocks_of_the_matrix(evidence):
    networks, pairs = _matrix(evidence)
    gaps = [
        Scores(f"{a} minus {b}", pairs, tuple(mean_of(first) + mean_of(second, -1.0)))
        for (a, first), (b, second) in itertools.pairwise(_blocks(networks).items())
    ]
    if {"vit", "mlp_mixer"} <= set(networks):
        terms = [(1.0, ("vit", "mlp_mixer"))]
        terms += mean_of([(n, "vit") for n in networks if n in CONVOLUTIONAL], -1.0)
        gaps.append(Scores("ViT with MLPMixer minus with convolutional", pairs, tuple(terms)))
    return together(compare(f"difference of mean {_SCORE}", gaps, above(0)))


@claim(
    5,
    "The 45 numbers of the matrix, from 0.87 to 0.44.",
    _MATRIX,
    _MATRIX_RUNS,
)
def published_matrix(evidence):
    networks, pairs = _matrix(evidence)
    return together(
        *(
            near_published(
                evidence.scale,
                _SCORE,
                Scores(f"{NETWORK_NAMES[a]} with {NETWORK_NAMES[b]}", pairs, ((1.0, (a, b)),)),
                REPRODUCIBILITY_MATRIX[MATRIX_NETWORKS.index(a), MATRIX_NETWORKS.index(b)],
                _TOLERANCE,
            )
            for a, b in itertools.combinations_with_replacement(networks, 2)
        )
    )


def _optimizers(evidence):
    """Networks, {(network, optimizer): runs}, and the `PairScores` of their seeds."""
    found = groups(evidence.runs(), lambda settings: (settings.network, settings.optimizer_name))
    networks = [network for network in OPTIMIZER_NETWORKS if (network, "sgd") in found]
    return networks, found, PairScores(found)


def _optimizer_gap(pairs, network, better, worse):
    label = f"{NETWORK_NAMES[network]}: {OPTIMIZER_NAMES[better]} minus {OPTIMIZER_NAMES[worse]}"
    first, second = (network, better), (network, worse)
    return Scores(label, pairs, ((1.0, (first, first)), (-1.0, (second, second))))


@claim(
    6,
    "Sharpness-aware minimization gives the highest reproducibility for every architecture.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
)
def sharpness_aware_is_most_reproducible(evidence):
    networks, _, pairs = _optimizers(evidence)
    gaps = [_optimizer_gap(pairs, n, "sam", other) for n in networks for other in ("adam", "sgd")]
    return together(compare(f"difference of {_SCORE}", gaps, above(0)))


@claim(
    7,
    "SGD is more reproducible than Adam for ResNet18 and ViT, Adam more than SGD for VGG and MLPMixer.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
)
def sgd_and_adam(evidence):
    networks, _, pairs = _optimizers(evidence)
    for_sgd = [_optimizer_gap(pairs, n, "sgd", "adam") for n in ("resnet18", "vit") if n in networks]
    for_adam = [_optimizer_gap(pairs, n, "adam", "sgd") for n in ("vgg19", "mlp_mixer") if n in networks]
    return together(
        *(compare(f"difference of {_SCORE}", gaps, above(0)) for gaps in (for_sgd, for_adam) if gaps)
    )


@claim(
    8,
    "The most reproducible optimizer is not always the most accurate: Adam for MLPMixer and SGD for ViT "
    "are more accurate than SGD with SAM.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
)
def most_reproducible_is_not_most_accurate(evidence):
    """Claim 8: where another optimizer is more accurate, SAM is the more reproducible one."""
    networks, found, pairs = _optimizers(evidence)
    gaps, scores = [], []
    for network, better in (("mlp_mixer", "adam"), ("vit", "sgd")):
        if network in networks:
            first, second = (
                {run.seed: 100 * last(run, "accuracy", subset="test") for run in found[network, optimizer]}
                for optimizer in (better, "sam")
            )
            label = f"{NETWORK_NAMES[network]}: {OPTIMIZER_NAMES[better]} minus {OPTIMIZER_NAMES['sam']}"
            both = sorted(first.keys() & second.keys())
            gaps.append(Sample(label, tuple(first[seed] - second[seed] for seed in both)))
            scores.append(_optimizer_gap(pairs, network, "sam", better))
    return together(
        compare("difference of test accuracy (points)", gaps, above(0)),
        compare(f"difference of {_SCORE}", scores, above(0)),
    )


@claim(
    9,
    "The 12 reproducibility scores, 66.51 to 87.22 %, and the 12 test accuracies, 70.89 to 95.68 %.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
)
def published_optimizers(evidence):
    networks, found, pairs = _optimizers(evidence)
    outcomes = []
    for network, (column, (optimizer, name)) in itertools.product(
        networks, enumerate(OPTIMIZER_NAMES.items())
    ):
        row, cell = OPTIMIZER_NETWORKS.index(network), (network, optimizer)
        label = f"{NETWORK_NAMES[network]} with {name}"
        score = Scores(label, pairs, ((100.0, (cell, cell)),))
        accuracy = Sample(label, tuple(100 * last(run, "accuracy", subset="test") for run in found[cell]))
        outcomes += [
            near_published(
                evidence.scale,
                f"{_SCORE} (%)",
                score,
                OPTIMIZER_REPRODUCIBILITY[row, column],
                100 * _TOLERANCE,
            ),
            near_published(
                evidence.scale, "test accuracy (%)", accuracy, OPTIMIZER_ACCURACY[row, column], 1.0
            ),
        ]
    return together(*outcomes)


@claim(
    10,
    "A distilled student is more alike to its teacher than the same student trained alone, by 0.040 in "
    "the mean over the four networks that we train (0.029 with the pretrained ViT).",
    "matrix of distillation, section 3",
    ("distillation",),
)
def distilled_students_are_alike(evidence):
    """Claim 10; each student trained by distillation is a run, and gives one gain."""
    runs = evidence.runs()
    vanilla = {(s.network, s.seed): run for s, run in runs if s.teacher is None}
    gains = {}
    for settings, run in runs:
        if settings.teacher:
            teacher = vanilla.get((settings.teacher, settings.teacher_seed))
            alone = vanilla.get((settings.network, settings.seed))
            if teacher and alone:
                distilled, vanilla_score = (score_and_error(teacher, other)[0] for other in (run, alone))
                place = f"{settings.teacher} {settings.teacher_seed}", f"{settings.network} {settings.seed}"
                gains[place] = distilled - vanilla_score
    teachers, students = zip(*gains, strict=True) if gains else ((), ())
    positive = sum(gain > 0 for gain in gains.values())
    label = f"distilled minus vanilla, {positive} of {len(gains)} positive"
    # Gains of one teacher share its network, and gains of one student its vanilla one.
    found = Sample(label, tuple(gains.values()), groups=(teachers, students))
    gain = np.mean((DISTILLED - VANILLA)[:_NUM_STUDENTS, :_NUM_STUDENTS])
    return together(
        compare(f"gain of {_SCORE} with the teacher", [found], above(0)),
        near_published(evidence.scale, "mean gain", found, round(float(gain), 3), _TOLERANCE),
    )


def _num_classes(planes):
    """The number of classes on each plane."""
    return [len(np.unique(plane)) for plane in planes]


@claim(
    11,
    "Between images that are no data, uniform noise or shuffled pixels, a network predicts one or very "
    "few classes.",
    "figure 2, section 2, Lemma 2.1",
    ("off_manifold",),
)
def few_classes_off_the_manifold(evidence):
    """Claim 11; over networks and planes, since means over few planes are coarse and may agree by chance."""
    found = groups(evidence.runs(), lambda settings: settings.network)
    samples = []
    for (network, members), (i, kind) in itertools.product(found.items(), enumerate(RANDOM_KINDS)):
        counts = np.array([_num_classes(run.arrays["random_classes"][i]) for run in members], float)
        seeds_and_planes = tuple(np.indices(counts.shape).reshape(2, -1))
        label = f"{NETWORK_NAMES[network]}, {kind}"
        samples.append(Sample(label, tuple(counts.ravel()), groups=seeds_and_planes))
    return together(compare("classes on a plane", samples, below(_FEW_CLASSES)))


def _family(network):
    return "convolutional" if network in CONVOLUTIONAL else network


@claim(
    12,
    "Which class wins off the manifold is the architecture's: seeds of one agree.",
    "figure 2, section 2",
    ("off_manifold",),
)
def winner_is_the_architectures(evidence):
    """Claim 12: how often two seeds of a network share the winning class, and how often two families do.

    The interval leaves out one family at a time: networks of one are alike.
    """
    found = groups(evidence.runs(), lambda settings: settings.network)
    gaps = []
    for kind in RANDOM_KINDS:
        winners = {
            network: [last(run, "winner", subset=kind) for run in members]
            for network, members in found.items()
        }
        values = []
        for network, own in winners.items():
            elsewhere = [other for other in winners if _family(other) != _family(network)]
            within = [a == b for a, b in itertools.combinations(own, 2)] or [math.nan]
            others = [b for other in elsewhere for b in winners[other]]
            values.append(np.mean(within) - np.mean([a == b for a in own for b in others]))
        families = [_family(network) for network in winners]
        label = f"{kind}, over {len(set(families))} families"
        gaps.append(Sample(label, tuple(map(float, values)), groups=(families,)))
    return together(compare("same winner in two seeds minus in two families (probability)", gaps, above(0)))
