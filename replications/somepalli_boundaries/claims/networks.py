"""Checks of the claims on the matrix of architectures, and on images that are no data."""

import itertools

import numpy as np
from scipy import stats

from common.metrics.fragmentation import fragmentation_scores
from common.study import effects
from common.study.claims import claim
from common.study.decisions import MARGINS, described, ordering, together
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
# "One or very few" classes of ten, on a plane.
_FEW_CLASSES = 3
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


def _present(networks, names=MATRIX_NETWORKS):
    return [name for name in names if name in networks.deciding]


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
        parts.append(ordering(_SCORE, effect, margin=_MARGIN))
    gaps = []
    for name in _present(networks):
        others = [other for other in _present(networks) if other != name]
        most = max((networks.mean(name, other), NETWORK_NAMES[other]) for other in others)
        own = networks.mean(name, name)
        gaps.append((NETWORK_NAMES[name], f"{own:.3f}, with {most[1]} {most[0]:.3f}"))
    parts.append(described("score with itself, and with the most alike", gaps))
    return noting(together(*parts), networks.note)


@claim(
    2,
    "In the ResNet family wider networks are more reproducible: WideRN30 0.87, WideRN10 0.86, ResNet18 0.83.",
    _MATRIX,
    _MATRIX_RUNS,
    quote="Wider convolutional models appear to have higher reproducibility in their decision regions, with "
    "WideRN30 being both the widest and most reproducible model in this study.",
    tests="three parts: the score between seeds is higher for the widest than for the narrowest Wide ResNet "
    "(published: 0.01), for the Wide ResNets in the mean than for ResNet18, and for the widest than for the "
    "networks of other families in the mean; ties within 0.02 in the last two",
    confirmatory_from=1,
)
def wider_is_more_reproducible(evidence):
    networks = _networks(evidence)
    wide = _present(networks, WIDE_RESNETS)
    own = [(name, name) for name in wide]
    slope = [(1.0, own[0]), (-1.0, own[-1])] if len(wide) > 1 else []
    others = [*mean_of(own), (-1.0, ("resnet18", "resnet18"))] if own else []
    families = [(name, name) for name in _present(networks) if name not in WIDE_RESNETS]
    widest = [(1.0, own[0]), *mean_of(families, -1.0)] if own and families else []
    ends = f"{NETWORK_NAMES[wide[0]]} minus {NETWORK_NAMES[wide[-1]]}" if wide else "Wide ResNets"
    families_label = f"{NETWORK_NAMES[WIDE_RESNETS[0]]} minus other families"
    return noting(
        together(
            ordering(_SCORE, networks.effect(ends, slope)),
            ordering(_SCORE, networks.effect("Wide ResNets minus ResNet18", others), margin=_MARGIN),
            ordering(_SCORE, networks.effect(families_label, widest), margin=_MARGIN),
        ),
        networks.note,
    )


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
    places = np.arange(len(present)) - (len(present) - 1) / 2
    slopes = -places * (len(present) - 1) / np.sum(places**2) if len(present) > 2 else []
    terms = [(float(c), (name, name)) for c, name in zip(slopes, present, strict=False)]
    effect = networks.effect(f"first minus last of {len(present)} on the fitted line", terms)
    skips = [(name, name) for name in ("resnet18", "densenet121")]
    above_vgg = networks.effect(
        "ResNet18 and DenseNet minus VGG", [*mean_of(skips), (-1.0, ("vgg19", "vgg19"))]
    )
    own = [(NETWORK_NAMES[n], f"{networks.mean(n, n):.3f}") for n in present]
    outcome = together(
        ordering(_SCORE, above_vgg, margin=_MARGIN),
        ordering(_SCORE, effect, margin=_MARGIN),
        described("scores between seeds", own),
    )
    return noting(outcome, networks.note)


def _blocks(networks):
    """Cells of the blocks of the matrix off its diagonal: (name, pairs)."""
    convolutional, every = _present(networks, CONVOLUTIONAL), _present(networks)
    transformers = _present(networks, ("vit", "mlp_mixer"))
    rest = [name for name in every if name != "fully_connected"]
    among = list(itertools.combinations(convolutional, 2))
    return {
        "convolutional": [(a, b) for a, b in among if _family(a) != _family(b)],
        "vit": [(a, "vit") for a in convolutional if "vit" in every],
        "mlp_mixer": [(a, "mlp_mixer") for a in convolutional if "mlp_mixer" in every],
        "transformers": [tuple(transformers)] if len(transformers) == 2 else [],
        "rest": list(itertools.combinations(rest, 2)),
        "fully_connected": [(a, "fully_connected") for a in rest if "fully_connected" in every],
    }


def _between(networks, label, first, second, margin=_MARGIN):
    """The Outcome that scores of one block are above those of another."""
    terms = mean_of(first) + mean_of(second, -1.0) if first and second else []
    return ordering(_SCORE, networks.effect(label, terms), margin=margin)


@claim(
    4,
    "Convolutional networks are most alike (0.77 and more), less so to ViT (0.63), less to MLPMixer "
    "(0.60), and nothing is like the fully connected network (0.44 to 0.47); ViT is nearer to MLPMixer.",
    _MATRIX,
    _MATRIX_RUNS,
    quote="The inductive biases of all the convolutional architectures are highly similar. Meanwhile, "
    "MLPMixer, ViT and FC models have substantially different decision regions from convolutional models and "
    "from each other.",
    tests="four parts, differences of mean scores above 0: convolutional families with each other minus with "
    "ViT and MLPMixer; with ViT minus with MLPMixer; all without the fully connected network minus with it; "
    "ViT with MLPMixer minus ViT with convolutional ones (published: 0.01); ties within 0.02 in the first "
    "three",
    confirmatory_from=1,
)
def blocks_of_the_matrix(evidence):
    networks = _networks(evidence)
    block = _blocks(networks)
    both = block["vit"] + block["mlp_mixer"]
    parts = (
        ("convolutional with each other minus with ViT and MLPMixer", block["convolutional"], both),
        ("convolutional with ViT minus with MLPMixer", block["vit"], block["mlp_mixer"]),
        ("all others minus with FullyCon", block["rest"], block["fully_connected"]),
        ("ViT with MLPMixer minus with convolutional", block["transformers"], block["vit"], None),
    )
    return noting(together(*(_between(networks, *part) for part in parts)), networks.note)


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
        for a, b in itertools.combinations_with_replacement(_present(networks), 2)
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


def _num_classes(run):
    """The mean number of classes on a plane, over both kinds."""
    return np.mean([len(np.unique(plane)) for kind in RANDOM_KINDS for plane in random_classes(run, kind)])


@claim(
    11,
    "Between images that are no data, uniform noise or shuffled pixels, a network predicts one or very "
    "few classes.",
    "section 2.1, figure 2; appendix B, figures 13 and 14",
    _OFF_MANIFOLD,
    quote="the decision regions assigned to such off-manifold images are quite uniform for a given model",
    tests="for four kinds of networks, each a part: the mean number of classes on a plane, over 50 planes "
    "of each kind, is below three of ten",
    confirmatory_from=1,
)
def few_classes_off_the_manifold(evidence):
    networks = _networks(evidence)
    parts, counts = [], {}
    for kind, names in _KINDS.items():
        found = {name: networks.measured(name, _num_classes) for name in _present(networks, names)}
        counts |= found
        fewer = _FEW_CLASSES - np.mean(list(found.values()), axis=0) if found else []
        effect = effects.level(kind, fewer)
        parts.append(ordering(f"{_FEW_CLASSES} minus the number of classes on a plane", effect))
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
    tests="the number of regions on the planes of the scores is larger for the fully connected network than "
    "for the others in the geometric mean; a tie within a factor of 1.5",
    confirmatory_from=1,
)
def fully_connected_is_most_fragmented(evidence):
    networks = _networks(evidence)
    counts = {
        name: networks.measured(name, lambda run: _regions(class_maps(run))) for name in _present(networks)
    }
    own = counts.get("fully_connected", np.empty(0))
    others = [values for name, values in counts.items() if name != "fully_connected"]
    ratios = own / stats.gmean(others) if others and len(own) else []
    effect = effects.level("FullyCon over the others", ratios, factor=True)
    each = [(NETWORK_NAMES[name], f"{np.nanmean(values):.1f}") for name, values in counts.items()]
    outcome = together(
        ordering("regions on a plane", effect, margin=MARGINS["factor"]), described("regions", each)
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
