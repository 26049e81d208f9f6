"""Checks of the claims on the matrix of architectures, and on images that are no data."""

import dataclasses
import itertools

import numpy as np
from scipy import stats

from common.metrics.fragmentation import fragmentation_scores
from common.study import effects
from common.study.claims import claim
from common.study.decisions import MARGINS, described, every, ordering, together
from common.study.verdicts import near_published
from replications.somepalli_boundaries.claims.shared import mean_of, networks_of, noting
from replications.somepalli_boundaries.published import (
    CONVOLUTIONAL,
    MATRIX_NETWORKS,
    NETWORK_NAMES,
    RANDOM_KINDS,
    REPRODUCIBILITY_MATRIX,
    WIDE_RESNETS,
)
from replications.somepalli_boundaries.results import class_maps, plane_winners, random_classes

_MATRIX = "section 3.2, figure 4"
_MATRIX_RUNS = ("reproducibility",)
_OFF_MANIFOLD = ("off_manifold",)
_SCORE = "difference of reproducibility"
_MARGIN = MARGINS["score"]
# How far from a published score a replication may lie: two published runs of one setting (VGG with SGD, in
# the matrix and in the table of optimizers) differ by 0.02.
TOLERANCE = 0.02
# "One or very few" classes of ten, on a plane but for a twentieth of its points.
_FEW_CLASSES, _MOST_POINTS = 3, 0.95
# What is judged together: narrow networks of one kind are alike.
_KINDS = {
    "convolutional networks": CONVOLUTIONAL,
    "ViT": ("vit",),
    "MLPMixer": ("mlp_mixer",),
    "FullyCon": ("fully_connected",),
}


def _networks(evidence):
    present = evidence.values("network")
    return networks_of(evidence, {name: {"network": name} for name in MATRIX_NETWORKS if name in present})


def judged(networks, parts, *beside):
    """The Outcome of parts (question, Effect, margin); "in part" only if every part was measured.

    Args:
        networks: Whose note is added.
        parts: What has to be above 0; margin None for no tie.
        beside: Outcomes that are only reported.
    """
    outcomes = [ordering(question, effect, margin=margin) for question, effect, margin in parts]
    outcome = together(*outcomes, *beside)
    if outcome.verdict == "in part" and not all(effect.n for _, effect, _ in parts):
        outcome = dataclasses.replace(outcome, verdict="open", p=np.nan)
    return noting(outcome, networks.note)


def whole(networks, names):
    """Those that lost no training: else its seed would be lost to all that they are compared with."""
    return [name for name in names if None not in networks.deciding.get(name, [None])]


def _present(networks, names=MATRIX_NETWORKS):
    """Those that lost no training; if there is none, those that kept half of them."""
    return whole(networks, names) or [name for name in names if name in networks.deciding]


def _family(network):
    """The Wide ResNets are one family, since they differ in their width alone."""
    return "wide_resnet" if network in WIDE_RESNETS else network


def _rival(network, networks):
    """The network of another family that one is most alike to, in the published matrix."""
    others = [name for name in _present(networks) if _family(name) != _family(network)]
    return sorted(others, key=lambda name: _published(network, name))[-1:]


def _own_minus(networks, members, rivals_of):
    """Terms of the mean over networks of the score with itself minus the mean with its rivals."""
    terms = []
    for network in members:
        rivals = [(network, rival) for rival in rivals_of(network)]
        if rivals:
            terms += [(1 / len(members), (network, network))]
            terms += [(c / len(members), pair) for c, pair in mean_of(rivals, -1.0)]
    return terms


@claim(
    1,
    "Every architecture is more alike to itself, from another seed, than to any other architecture.",
    _MATRIX,
    _MATRIX_RUNS,
    quote="reproducibility is high within a model class, while differences in inductive bias result in low "
    "similarities across model families",
    tests="for four kinds of networks, each a part: the score between two seeds of a network is above that "
    "with the network of another family that is most alike to it in the published matrix; ties within 0.02",
    confirmatory_from=1,
)
def diagonal_is_largest(evidence):
    networks = _networks(evidence)
    parts = []
    for kind, names in _KINDS.items():
        terms = _own_minus(networks, _present(networks, names), lambda name: _rival(name, networks))
        effect = networks.effect(f"{kind} with themselves minus with the most alike", terms)
        parts.append((_SCORE, effect, _MARGIN))
    gaps = []
    for name in _present(networks):
        others = [other for other in _present(networks) if other != name]
        if not others:
            continue
        most = max((networks.mean(name, other), NETWORK_NAMES[other]) for other in others)
        own = networks.mean(name, name)
        gaps.append((NETWORK_NAMES[name], f"{own:.3f}, with {most[1]} {most[0]:.3f}"))
    return judged(networks, parts, described("score with itself, and with the most alike", gaps))


@claim(
    2,
    "In the ResNet family wider networks are more reproducible: WideRN30 0.87, WideRN10 0.86, ResNet18 0.83.",
    _MATRIX,
    _MATRIX_RUNS,
    quote="Wider convolutional models appear to have higher reproducibility in their decision regions, with "
    "WideRN30 being both the widest and most reproducible model in this study.",
    tests="two parts: the score between seeds grows with the width from ResNet18 over the three Wide "
    "ResNets, the last on the fitted line minus the first; and it is higher for the widest than for "
    "ResNet18, the next family of the published matrix; ties within 0.02",
    confirmatory_from=1,
)
def wider_is_more_reproducible(evidence):
    networks = _networks(evidence)
    line = _fitted_line([(name, name) for name in _present(networks, (*WIDE_RESNETS, "resnet18"))])
    widest, next_family = WIDE_RESNETS[0], "resnet18"
    above = [(1.0, (widest, widest)), (-1.0, (next_family, next_family))]
    label = f"{NETWORK_NAMES[widest]} minus {NETWORK_NAMES[next_family]}"
    own = [(NETWORK_NAMES[n], f"{networks.mean(n, n):.3f}") for n in _present(networks, WIDE_RESNETS)]
    parts = (
        (_SCORE, networks.effect("widest minus narrowest on the fitted line", line), _MARGIN),
        (_SCORE, networks.effect(label, above), _MARGIN),
    )
    return judged(networks, parts, described("scores between seeds", own))


def _fitted_line(pairs):
    """Terms of the first minus the last of scores on the line that is fitted to their order."""
    if len(pairs) < 2:
        return []
    places = np.arange(len(pairs)) - (len(pairs) - 1) / 2
    slopes = -places * (len(pairs) - 1) / np.sum(places**2)
    return [(float(c), pair) for c, pair in zip(slopes, pairs, strict=True)]


_ORDER = ("resnet18", "densenet121", "vgg19", "vit", "fully_connected", "mlp_mixer")


@claim(
    3,
    "ResNet18 is the most reproducible of the others, then DenseNet, VGG, ViT, the fully connected and "
    "MLPMixer.",
    _MATRIX,
    _MATRIX_RUNS,
    quote="skip connection architectures achieve slightly higher reproducibility scores than the very wide "
    "VGG network",
    tests="two parts: the score between seeds is higher for ResNet18 and DenseNet in the mean than for VGG; "
    "it falls along the published order of the six architectures: the fitted line is higher at its first "
    "than at its last; ties within 0.02",
    confirmatory_from=1,
)
def order_of_architectures(evidence):
    networks = _networks(evidence)
    present = _present(networks, _ORDER)
    terms = _fitted_line([(name, name) for name in present])
    effect = networks.effect(f"first minus last of {len(present)} on the fitted line", terms)
    skips = [(name, name) for name in _present(networks, ("resnet18", "densenet121"))]
    terms = [*mean_of(skips), (-1.0, ("vgg19", "vgg19"))] if skips else []
    above_vgg = networks.effect("ResNet18 and DenseNet minus VGG", terms)
    own = [(NETWORK_NAMES[n], f"{networks.mean(n, n):.3f}") for n in present]
    parts = [(_SCORE, above_vgg, _MARGIN), (_SCORE, effect, _MARGIN)]
    return judged(networks, parts, described("scores between seeds", own))


_OTHERS = ("vit", "mlp_mixer", "fully_connected")


@claim(
    4,
    "Convolutional networks are alike (0.77 and more); ViT (0.63), MLPMixer (0.60) and the fully connected "
    "network (0.44 to 0.47) differ from them, and from each other.",
    _MATRIX,
    _MATRIX_RUNS,
    quote="The inductive biases of all the convolutional architectures are highly similar. Meanwhile, "
    "MLPMixer, ViT and FC models have substantially different decision regions from convolutional models and "
    "from each other.",
    tests="four parts, differences of mean scores above 0: convolutional families with each other minus with "
    "ViT, minus with MLPMixer, minus with the fully connected network, and minus these three with each "
    "other; ties within 0.02",
    confirmatory_from=1,
)
def blocks_of_the_matrix(evidence):
    networks = _networks(evidence)
    convolutional = _present(networks, CONVOLUTIONAL)
    among = [p for p in itertools.combinations(convolutional, 2) if _family(p[0]) != _family(p[1])]
    blocks = {NETWORK_NAMES[o]: [(c, o) for c in convolutional] for o in _OTHERS}
    blocks["these with each other"] = list(itertools.combinations(_present(networks, _OTHERS), 2))
    parts = []
    for name, pairs in blocks.items():
        terms = mean_of(among) + mean_of(pairs, -1.0) if among and pairs else []
        effect = networks.effect(f"convolutional with each other minus {name}", terms)
        parts.append((_SCORE, effect, _MARGIN))
    return judged(networks, parts)


@claim(
    5,
    "The 45 numbers of the matrix, from 0.87 to 0.44.",
    _MATRIX,
    _MATRIX_RUNS,
    quote="Reproducibility across several popular architectures.",
    tests="at the paper's scale each of the 45 scores lies within 0.02 of the published one",
    confirmatory_from=1,
    out_of_reach={"laptop": "narrow networks on 500 images say nothing about the published numbers"},
)
def published_matrix(evidence):
    networks = _networks(evidence)
    outcomes = [
        near_published(
            evidence.scale,
            "reproducibility",
            networks.sample(f"{NETWORK_NAMES[a]} with {NETWORK_NAMES[b]}", ((1.0, (a, b)),)),
            _published(a, b),
            TOLERANCE,
        )
        for a, b in itertools.combinations_with_replacement(networks.deciding, 2)
    ]
    return noting(together(*outcomes), networks.note)


def _published(a, b):
    return REPRODUCIBILITY_MATRIX[MATRIX_NETWORKS.index(a), MATRIX_NETWORKS.index(b)]


@claim(
    23,
    "Which architectures are alike: the pattern of the 36 numbers beside the diagonal, from 0.85 to 0.44.",
    _MATRIX,
    _MATRIX_RUNS,
    tests="over the pairs of different architectures our scores grow with the published ones: the slope of"
    " the fitted line is above 0",
    confirmatory_from=1,
)
def pattern_of_the_matrix(evidence):
    networks = _networks(evidence)
    pairs = list(itertools.combinations(_present(networks), 2))
    published = np.array([_published(a, b) for a, b in pairs])
    offsets = published - published.mean() if pairs else published
    terms = [(float(c), pair) for c, pair in zip(offsets / np.sum(offsets**2), pairs, strict=True)]
    effect = networks.effect(f"over {len(pairs)} pairs", terms)
    ours = [networks.mean(*pair) for pair in pairs]
    rank = stats.spearmanr(ours, published)[0] if len(pairs) > 2 else np.nan
    outcome = ordering("slope of our scores over the published ones", effect)
    return noting(
        together(outcome, described("rank correlation", [("of means", f"{rank:.2f}")])), networks.note
    )


def _num_classes(plane):
    """The smallest number of classes that fill a plane but for a twentieth of its points."""
    shares = np.sort(np.bincount(plane.ravel()))[::-1].cumsum() / plane.size
    return 1 + int(np.argmax(shares >= _MOST_POINTS))


@claim(
    11,
    "Between images that are no data, uniform noise or shuffled pixels, a network predicts one or very "
    "few classes.",
    "section 2.1, figure 2; appendix B, figures 13 and 14",
    _OFF_MANIFOLD,
    quote="the decision regions assigned to such off-manifold images are quite uniform for a given model",
    tests="for four kinds of networks, each a part: on planes through uniform noise and on planes through "
    "shuffled pixels fewer than three classes of ten fill 95 % of a plane, in the mean over 50 planes",
    confirmatory_from=1,
)
def few_classes_off_the_manifold(evidence):
    networks = _networks(evidence)
    parts, counts = [], {}
    for kind, names in _KINDS.items():
        found = {}
        for noise, name in itertools.product(RANDOM_KINDS, _present(networks, names)):
            found[noise, name] = networks.measured(
                name, lambda run, noise=noise: np.mean([_num_classes(p) for p in random_classes(run, noise)])
            )
        of_noise = []
        for noise in RANDOM_KINDS:
            values = [found[noise, name] for name in _present(networks, names)]
            fewer = _FEW_CLASSES - np.mean(values, axis=0) if values else []
            effect = effects.level(f"{kind}, {noise}", fewer)
            of_noise.append(ordering(f"{_FEW_CLASSES} minus the number of classes on a plane", effect))
        parts.append(every(*of_noise))
        for name in _present(networks, names):
            counts[name] = np.mean([found[noise, name] for noise in RANDOM_KINDS], axis=0)
    each = [(NETWORK_NAMES[name], f"{np.nanmean(values):.2f}") for name, values in counts.items()]
    return noting(together(*parts, described("classes on a plane", each)), networks.note)


@claim(
    12,
    "Which class wins off the manifold is the network's: DenseNet's is bird, ViT's frog or automobile.",
    "section 2.1, figure 2; appendix B, figures 13 and 14",
    _OFF_MANIFOLD,
    quote="in DenseNet, all such images are assigned to Bird class, while in ViT, they are assigned to Frog "
    "or Automobile",
    tests="two parts, planes through uniform noise and through shuffled pixels: on a larger share of the "
    "planes the same class wins in two seeds of a network than in networks of two kinds; a tie "
    "within 0.02",
    confirmatory_from=1,
)
def winner_is_the_architectures(evidence):
    networks = _networks(evidence)
    present = _present(networks)
    kind_of = {name: kind for kind, names in _KINDS.items() for name in names}
    terms = _own_minus(networks, present, lambda name: [o for o in present if kind_of[o] != kind_of[name]])
    parts = []
    for kind in RANDOM_KINDS:
        winners = {}

        def same(first, second, kind=kind, winners=winners):
            for run in (first, second):
                if id(run) not in winners:
                    winners[id(run)] = plane_winners(run, kind)
            return float(np.mean(winners[id(first)] == winners[id(second)]))

        effect = networks.effect(f"{kind}, two seeds minus two kinds of networks", terms, same)
        parts.append(ordering("share of planes with the same winner", effect, margin=_MARGIN))
    return noting(together(*parts), networks.note)


def _regions(maps):
    """The mean number of connected regions on planes."""
    return float(np.mean(fragmentation_scores(maps)))


@claim(
    32,
    "Fully connected networks have more complex and more fragmented decision regions than other families.",
    "section 3.1, figure 3",
    _MATRIX_RUNS,
    quote="Fully Connected Nets show considerably more complex and fragmented decision regions than other "
    "model families.",
    tests="the number of regions on the planes of the scores is 1.5 times as large for the fully connected "
    "network as for the others in the geometric mean",
    confirmatory_from=1,
)
def fully_connected_is_most_fragmented(evidence):
    networks = _networks(evidence)
    counts = {
        name: networks.measured(name, lambda run: _regions(class_maps(run)))
        for name in (*_present(networks, MATRIX_NETWORKS[:-1]), "fully_connected")
    }
    *others, own = counts.values()
    ratios = own / stats.gmean(others) if others and len(own) else []
    effect = effects.level("FullyCon over the others", ratios, factor=True)
    each = [(NETWORK_NAMES[name], f"{np.nanmean(values):.1f}") for name, values in counts.items()]
    outcome = together(
        ordering("regions on a plane", effect, bound=MARGINS["factor"]), described("regions", each)
    )
    return noting(outcome, networks.note)


@claim(
    33,
    "Decision regions are more structured near the images than far from them.",
    "section 2.1; appendix B",
    _OFF_MANIFOLD,
    quote="the decision regions are more structured close to the image manifold and are rather uniform "
    "farther away from the manifold",
    tests="the number of regions on planes through three images is larger than on planes through uniform "
    "noise and shuffled pixels, in the geometric mean over the networks; a tie within a factor of 1.5",
    confirmatory_from=1,
)
def structured_near_the_manifold(evidence):
    networks = _networks(evidence)

    def ratio(run):
        far = np.mean([_regions(random_classes(run, kind)) for kind in RANDOM_KINDS])
        return _regions(class_maps(run)) / far

    ratios = {name: networks.measured(name, ratio) for name in _present(networks)}
    mean = stats.gmean(list(ratios.values())) if ratios else []
    effect = effects.level(f"images over noise, mean over {len(ratios)} networks", mean, factor=True)
    each = [(NETWORK_NAMES[name], f"{np.nanmean(values):.2f}") for name, values in ratios.items()]
    outcome = together(
        ordering("regions on a plane", effect, margin=MARGINS["factor"]), described("ratios", each)
    )
    return noting(outcome, networks.note)
