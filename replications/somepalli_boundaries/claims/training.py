"""Checks of the claims on optimizers and on distillation."""

import itertools

import numpy as np

from common.study import effects
from common.study.claims import claim
from common.study.decisions import MARGINS, described, every, ordering, together
from common.study.verdicts import Sample, above, compare, near_published
from replications.somepalli_boundaries.claims.networks import TOLERANCE
from replications.somepalli_boundaries.claims.shared import networks_of, noting
from replications.somepalli_boundaries.published import (
    DISTILLED,
    NETWORK_NAMES,
    OPTIMIZER_ACCURACY,
    OPTIMIZER_NAMES,
    OPTIMIZER_NETWORKS,
    OPTIMIZER_REPRODUCIBILITY,
    VANILLA,
)
from replications.somepalli_boundaries.results import accuracy, diverged_names, not_diverged, score_and_error

_OPTIMIZERS = "section 3.4, table 1"
_OPTIMIZER_RUNS = ("optimizers",)
_REPRODUCIBILITY = "difference of reproducibility"
_ACCURACY = "difference of test accuracy (points)"
_NUM_STUDENTS = 4  # of the five of the published tables


def _optimizers(evidence):
    """The `Networks` of every (network, optimizer), in the paper's order."""
    radius = max(evidence.values("sam_radius"))
    settings = {
        "adam": {"optimizer": "adam", "sam_radius": 0.0},
        "sgd": {"optimizer": "sgd", "sam_radius": 0.0},
        "sam": {"optimizer": "sgd", "sam_radius": radius},
    }
    present = [network for network in OPTIMIZER_NETWORKS if network in evidence.values("network")]
    cells = itertools.product(present, OPTIMIZER_NAMES)
    return networks_of(evidence, {(n, o): {"network": n} | settings[o] for n, o in cells})


def _minus(network, better, worse):
    """Terms of the score with one optimizer minus with another."""
    first, second = (network, better), (network, worse)
    return [(1.0, (first, first)), (-1.0, (second, second))]


def _mean_gap(networks, label, gaps, margin=None):
    """The Outcome that a mean over (network, better, worse) of differences of scores is above 0."""
    terms = [(c / len(gaps), pair) for gap in gaps for c, pair in _minus(*gap)]
    return ordering(_REPRODUCIBILITY, networks.effect(label, terms), margin=margin)


def _accuracies(networks, cell):
    """Test accuracy (%) of each seed; empty if the cell was left out, nan of a network that was."""
    return networks.measured(cell, lambda run: 100 * accuracy(run, "test"))


def _mean_accuracy_gap(networks, label, gaps, margin=None):
    """The same for test accuracies."""
    pairs = [[_accuracies(networks, (network, name)) for name in names] for network, *names in gaps]
    complete = all(len(values) for pair in pairs for values in pair)
    found = np.mean([first - second for first, second in pairs], axis=0) if complete else []
    return ordering(_ACCURACY, effects.level(label, found), margin=margin)


@claim(
    6,
    "Sharpness-aware minimization gives the highest reproducibility for every architecture.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
    quote="SAM [12] induces more reproducible decision boundaries than standard optimizers such as SGD and "
    "Adam.",
    tests="for each of the four networks, a part each: the score between seeds with SGD and SAM is above "
    "that with SGD and above that with Adam (published: by 0.0006 to 0.074)",
    confirmatory_from=1,
)
def sharpness_aware_is_most_reproducible(evidence):
    networks = _optimizers(evidence)
    parts = []
    for network in OPTIMIZER_NETWORKS:
        gaps = {other: _minus(network, "sam", other) for other in ("sgd", "adam")}
        label = f"{NETWORK_NAMES[network]}: SGD + SAM minus"
        found = (networks.effect(f"{label} {OPTIMIZER_NAMES[o]}", gap) for o, gap in gaps.items())
        parts.append(every(*(ordering(_REPRODUCIBILITY, e) for e in found)))
    return noting(together(*parts), networks.note)


@claim(
    7,
    "SGD is more reproducible than Adam for ResNet18 and ViT; in the table, not in its caption, Adam is more "
    "than SGD for VGG and MLPMixer.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
    quote="SGD produces more reproducible decision boundaries relative to Adam",
    tests="two parts, mean differences of scores above 0: SGD minus Adam over ResNet18 and ViT, a tie within "
    "0.02; Adam minus SGD over VGG and MLPMixer (published: 0.008)",
    confirmatory_from=1,
)
def sgd_and_adam(evidence):
    networks = _optimizers(evidence)
    for_sgd = [(network, "sgd", "adam") for network in ("resnet18", "vit")]
    for_adam = [(network, "adam", "sgd") for network in ("vgg19", "mlp_mixer")]
    gaps = {n: networks.effect("", _minus(n, "sgd", "adam")) for n in OPTIMIZER_NETWORKS}
    each = [(NETWORK_NAMES[network], gap) for network, gap in gaps.items()]
    parts = (
        _mean_gap(networks, "ResNet18 and ViT: SGD minus Adam", for_sgd, MARGINS["score"]),
        _mean_gap(networks, "VGG and MLPMixer: Adam minus SGD", for_adam),
        described("SGD minus Adam", each),
    )
    return noting(together(*parts), networks.note)


@claim(
    8,
    "The most reproducible optimizer is not always the most accurate: Adam for MLPMixer and SGD for ViT "
    "are more accurate than SGD with SAM.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
    quote="for MLPMixer and ViT, using SAM does not always achieve the highest test accuracy but does "
    "achieve the highest reproducibility",
    tests="two parts, means over MLPMixer (Adam and SAM) and ViT (SGD and SAM): the other optimizer's test"
    " accuracy is above SAM's (published: by 0.4 points), and SAM's score above the other's (by 0.002)",
    confirmatory_from=1,
)
def most_reproducible_is_not_most_accurate(evidence):
    networks = _optimizers(evidence)
    accurate = [("mlp_mixer", "adam", "sam"), ("vit", "sgd", "sam")]
    alike = [(network, sam, other) for network, other, sam in accurate]
    both = "MLPMixer (Adam) and ViT (SGD)"
    parts = (
        _mean_accuracy_gap(networks, f"{both} minus SGD + SAM", accurate),
        _mean_gap(networks, f"SGD + SAM minus {both}", alike),
    )
    return noting(together(*parts), networks.note)


@claim(
    9,
    "The 12 reproducibility scores, 66.51 to 87.22 %, and the 12 test accuracies, 70.89 to 95.68 %.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
    quote="Reproducibility of different models when using different optimizers.",
    tests="at the paper's scale each score lies within 2 points of the published one, each accuracy within 1",
    confirmatory_from=1,
    out_of_reach={"laptop": "narrow networks on 500 images say nothing about the published numbers"},
)
def published_optimizers(evidence):
    networks = _optimizers(evidence)
    outcomes = []
    for (row, network), (column, optimizer) in itertools.product(
        enumerate(OPTIMIZER_NETWORKS), enumerate(OPTIMIZER_NAMES)
    ):
        cell, place = (network, optimizer), (row, column)
        label = f"{NETWORK_NAMES[network]} with {OPTIMIZER_NAMES[optimizer]}"
        score = networks.sample(label, ((100.0, (cell, cell)),))
        accuracies = _accuracies(networks, cell)
        accurate = Sample(label, tuple(map(float, accuracies[np.isfinite(accuracies)])))
        for words, found, number, tolerance in (
            ("reproducibility (%)", score, OPTIMIZER_REPRODUCIBILITY[place], 100 * TOLERANCE),
            ("test accuracy (%)", accurate, OPTIMIZER_ACCURACY[place], 1.0),
        ):
            outcomes.append(near_published(evidence.scale, words, found, number, tolerance))
    return noting(together(*outcomes), networks.note)


@claim(
    24,
    "For the convolutional networks SGD with SAM is also the most accurate, then SGD, then Adam: 95.68, "
    "95.30 and 93.04 % for ResNet18, 93.90, 93.13 and 92.87 % for VGG.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
    tests="two parts, means over ResNet18 and VGG of differences of test accuracy above 0: SGD with SAM "
    "minus SGD (published: 0.6 points); SGD minus Adam, a tie within a point",
    confirmatory_from=1,
)
def convolutional_networks_are_most_accurate_with_sam(evidence):
    networks, pair = _optimizers(evidence), ("resnet18", "vgg19")
    parts = (
        _mean_accuracy_gap(networks, "SGD + SAM minus SGD", [(n, "sam", "sgd") for n in pair]),
        _mean_accuracy_gap(networks, "SGD minus Adam", [(n, "sgd", "adam") for n in pair], MARGINS["points"]),
    )
    return noting(together(*parts), networks.note)


@claim(
    10,
    "A distilled student is more alike to its teacher than the same student trained alone, by 0.040 in "
    "the mean over the four networks that we train (0.029 with the pretrained ViT).",
    "section 3.3, figure 5",
    ("distillation",),
    quote="Across the board, distilled students exhibit noticeably higher similarity to their teachers "
    "compared with their vanilla trained counterparts.",
    tests="the mean over students and teachers of the score with distillation minus without is above 0, its "
    "interval over networks; the number itself at the paper's scale, within 0.02",
)
def distilled_students_are_alike(evidence):
    """Claim 10; each student trained by distillation is a run, and gives one gain."""
    runs = not_diverged(evidence.runs())
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
    outcome = together(
        compare("gain of reproducibility with the teacher", [found], above(0)),
        near_published(evidence.scale, "mean gain", found, round(float(gain), 3), TOLERANCE),
    )
    return noting(outcome, _diverged_note(evidence.runs(), runs))


def _diverged_note(everything, kept):
    number = len(everything) - len(kept)
    names = diverged_names(everything)
    return f"{number} of {len(everything)} runs diverged and are left out: {names}." if number else ""
