"""Checks of the claims on optimizers and on distillation."""

import itertools

import numpy as np

from common.study import effects
from common.study.claims import claim
from common.study.decisions import MARGINS, described, every, ordering, together
from common.study.verdicts import Sample, above, compare, near_published
from replications.somepalli_boundaries.claims.networks import TOLERANCE, judged, whole
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


def _mean_gap(networks, label, gaps):
    """The Effect of the mean over (network, better, worse) of differences of scores."""
    terms = [(c / len(gaps), pair) for gap in gaps for c, pair in _minus(*gap)]
    return networks.effect(label, terms)


def _over_networks(networks, better, worse):
    """The Effect of the mean over the networks that lost no training with either, at least half of four."""
    kept = [n for n in OPTIMIZER_NETWORKS if len(whole(networks, [(n, better), (n, worse)])) == 2]
    if 2 * len(kept) < len(OPTIMIZER_NETWORKS):
        kept = OPTIMIZER_NETWORKS
    label = f"{OPTIMIZER_NAMES[better]} minus {OPTIMIZER_NAMES[worse]}, {len(kept)} networks"
    return _mean_gap(networks, label, [(n, better, worse) for n in kept])


def _each(networks, better, worse):
    """A part that lists the difference of scores of each network, and is not judged."""
    gaps = [(NETWORK_NAMES[n], networks.effect("", _minus(n, better, worse))) for n in OPTIMIZER_NETWORKS]
    return described(f"{OPTIMIZER_NAMES[better]} minus {OPTIMIZER_NAMES[worse]}", gaps)


def _accuracies(networks, cell):
    """Test accuracy (%) of each seed; empty if the cell was left out, nan of a network that was."""
    return networks.measured(cell, lambda run: 100 * accuracy(run, "test"))


def _mean_accuracy_gap(networks, label, gaps):
    """The same of test accuracies."""
    pairs = [[_accuracies(networks, (network, name)) for name in names] for network, *names in gaps]
    complete = all(len(values) for pair in pairs for values in pair)
    found = np.mean([first - second for first, second in pairs], axis=0) if complete else []
    return effects.level(label, found)


@claim(
    6,
    "Sharpness-aware minimization gives a higher reproducibility than SGD and Adam.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
    quote="SAM [12] induces more reproducible decision boundaries than standard optimizers such as SGD and "
    "Adam.",
    tests="two parts, mean differences of the scores between seeds over the four networks above 0: with SGD "
    "and SAM minus with SGD (published: 0.021), and minus with Adam (0.041); ties within 0.02",
    confirmatory_from=1,
)
def sharpness_aware_is_most_reproducible(evidence):
    networks, parts = _optimizers(evidence), []
    for other in ("sgd", "adam"):
        parts.append((_REPRODUCIBILITY, _over_networks(networks, "sam", other), MARGINS["score"]))
    return judged(networks, parts, *(_each(networks, "sam", other) for other in ("sgd", "adam")))


@claim(
    7,
    "SGD is more reproducible than Adam, as the caption has it; in the table for ResNet18 and ViT, not for "
    "VGG and MLPMixer.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
    quote="SGD produces more reproducible decision boundaries relative to Adam",
    tests="the mean difference of the scores between seeds over the four networks, SGD minus Adam, is above "
    "0 (published: 0.020); a tie within 0.02",
    confirmatory_from=1,
)
def sgd_and_adam(evidence):
    networks = _optimizers(evidence)
    part = (_REPRODUCIBILITY, _over_networks(networks, "sgd", "adam"), MARGINS["score"])
    return judged(networks, [part], _each(networks, "sgd", "adam"))


@claim(
    8,
    "The most reproducible optimizer is not always the most accurate: Adam for MLPMixer and SGD for ViT "
    "are more accurate than SGD with SAM.",
    _OPTIMIZERS,
    _OPTIMIZER_RUNS,
    quote="for MLPMixer and ViT, using SAM does not always achieve the highest test accuracy but does "
    "achieve the highest reproducibility",
    tests="means over MLPMixer (Adam and SAM) and ViT (SGD and SAM): the other optimizer's test accuracy is "
    "above SAM's (published: by 0.4 points), and SAM's score above the other's (published: by 0.002)",
    confirmatory_from=1,
)
def most_reproducible_is_not_most_accurate(evidence):
    networks = _optimizers(evidence)
    accurate = [("mlp_mixer", "adam", "sam"), ("vit", "sgd", "sam")]
    alike = [(network, sam, other) for network, other, sam in accurate]
    both = "MLPMixer (Adam) and ViT (SGD)"
    accuracies = _mean_accuracy_gap(networks, f"{both} minus SGD + SAM", accurate)
    scores = _mean_gap(networks, f"SGD + SAM minus {both}", alike)
    outcome = every(
        ordering(_ACCURACY, accuracies),
        ordering(_REPRODUCIBILITY, scores),
    )
    return noting(together(outcome), networks.note)


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
    "minus SGD (published: 0.6 points); SGD minus Adam (1.3); ties within a point",
    confirmatory_from=1,
)
def convolutional_networks_are_most_accurate_with_sam(evidence):
    networks, pair = _optimizers(evidence), ("resnet18", "vgg19")
    gaps = {"SGD + SAM minus SGD": ("sam", "sgd"), "SGD minus Adam": ("sgd", "adam")}
    parts = [
        (_ACCURACY, _mean_accuracy_gap(networks, label, [(n, *gap) for n in pair]), MARGINS["points"])
        for label, gap in gaps.items()
    ]
    return judged(networks, parts)


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
