"""The claims of Somepalli et al. 2022 (arXiv 2203.08124), and where paper and released code part."""

import dataclasses

from common.claims import Claim
from replications.somepalli_boundaries import claims_networks, claims_widths
from replications.somepalli_boundaries.claims_runs import without_diverged

TITLE = (
    "Somepalli et al. 2022, Can Neural Nets Learn the Same Model Twice? Investigating Reproducibility and "
    "Double Descent from the Decision Boundary Perspective (arXiv 2203.08124)"
)

_MATRIX = "reproducibility matrix, section 3"
_OPTIMIZERS = "tables of optimizers, section 3"
_MATRIX_RUNS, _OPTIMIZER_RUNS, _SWEEP = ("reproducibility",), ("optimizers",), ("10",)

_CLAIMS = (
    Claim(
        1,
        "Every architecture is more alike to itself, from another seed, than to any other architecture.",
        _MATRIX,
        _MATRIX_RUNS,
        claims_networks.diagonal_is_largest,
    ),
    Claim(
        2,
        "In the ResNet family wider networks are more reproducible: WideRN30 0.87, WideRN10 0.86, ResNet18 "
        "0.83.",
        _MATRIX,
        _MATRIX_RUNS,
        claims_networks.wider_is_more_reproducible,
    ),
    Claim(
        3,
        "ResNet18 is the most reproducible of the others, then DenseNet, VGG, ViT, the fully connected and "
        "MLPMixer.",
        _MATRIX,
        _MATRIX_RUNS,
        claims_networks.order_of_architectures,
    ),
    Claim(
        4,
        "Convolutional networks are most alike (0.77 and more), less so to ViT (0.63), less to MLPMixer "
        "(0.60), and nothing is like the fully connected network (0.44 to 0.47); ViT is nearer to MLPMixer.",
        _MATRIX,
        _MATRIX_RUNS,
        claims_networks.blocks_of_the_matrix,
    ),
    Claim(
        5,
        "The 45 numbers of the matrix, from 0.87 to 0.44.",
        _MATRIX,
        _MATRIX_RUNS,
        claims_networks.published_matrix,
    ),
    Claim(
        6,
        "Sharpness-aware minimization gives the highest reproducibility for every architecture.",
        _OPTIMIZERS,
        _OPTIMIZER_RUNS,
        claims_networks.sharpness_aware_is_most_reproducible,
    ),
    Claim(
        7,
        "SGD is more reproducible than Adam for ResNet18 and ViT, Adam more than SGD for VGG and MLPMixer.",
        _OPTIMIZERS,
        _OPTIMIZER_RUNS,
        claims_networks.sgd_and_adam,
    ),
    Claim(
        8,
        "The most reproducible optimizer is not always the most accurate: Adam for MLPMixer and SGD for ViT "
        "are more accurate than SGD with SAM.",
        _OPTIMIZERS,
        _OPTIMIZER_RUNS,
        claims_networks.most_reproducible_is_not_most_accurate,
    ),
    Claim(
        9,
        "The 12 reproducibility scores, 66.51 to 87.22 %, and the 12 test accuracies, 70.89 to 95.68 %.",
        _OPTIMIZERS,
        _OPTIMIZER_RUNS,
        claims_networks.published_optimizers,
    ),
    Claim(
        10,
        "A distilled student is more alike to its teacher than the same student trained alone, by 0.040 in "
        "the mean over the four networks that we train (0.029 with the pretrained ViT).",
        "matrix of distillation, section 3",
        ("distillation",),
        claims_networks.distilled_students_are_alike,
    ),
    Claim(
        11,
        "Between images that are no data, uniform noise or shuffled pixels, a network predicts one or very "
        "few classes.",
        "figure 2, section 2, Lemma 2.1",
        ("off_manifold",),
        claims_networks.few_classes_off_the_manifold,
    ),
    Claim(
        12,
        "Which class wins off the manifold is the architecture's: seeds of one agree.",
        "figure 2, section 2",
        ("off_manifold",),
        claims_networks.winner_is_the_architectures,
    ),
    Claim(
        13,
        "With 20 % label noise fragmentation rises with the width to a peak at the interpolation threshold "
        "(k near 10), then falls.",
        "figure 10",
        _SWEEP,
        claims_widths.fragmentation_peaks_at_the_threshold,
    ),
    Claim(
        14,
        "Without label noise fragmentation is much lower and its curve flatter.",
        "figure 10",
        _SWEEP,
        claims_widths.fragmentation_without_noise,
    ),
    Claim(
        15,
        "With label noise reproducibility is lowest at the same width; very narrow and very wide networks "
        "are highly reproducible.",
        "figure 11",
        ("11",),
        claims_widths.reproducibility_dips_at_the_threshold,
    ),
    Claim(
        16,
        "At the threshold label noise lowers reproducibility.",
        "figure 11",
        ("11",),
        claims_widths.noise_lowers_reproducibility,
    ),
    Claim(
        17,
        "With label noise margins are smallest at the threshold and recover for wide networks.",
        "figure 12",
        ("12",),
        claims_widths.margins_are_smallest_at_the_threshold,
    ),
    Claim(
        18,
        "Label noise lowers margins at every width.",
        "figure 12",
        ("12",),
        claims_widths.noise_lowers_margins,
    ),
    Claim(
        19,
        "At the threshold label noise leaves many islands between images with right labels.",
        "figure 8",
        _SWEEP,
        claims_widths.islands_near_right_labels,
    ),
    Claim(
        20,
        "In wide networks the region around an image with a wrong label is small, and regions of a class are "
        "contiguous again.",
        "figure 9",
        ("9",),
        claims_widths.wrong_labels_are_absorbed,
    ),
    Claim(
        21,
        "With label noise the test error descends twice, with a peak at the threshold; without noise mildly "
        "or not.",
        "section 4",
        _SWEEP,
        claims_widths.error_descends_twice,
    ),
    Claim(
        22,
        "With 15 % label noise the training error falls to zero with the width; the test error descends "
        "twice.",
        "Nakkiran et al. 2020, figure 1, as shown in section 4",
        ("nakkiran_1",),
        claims_widths.nakkiran_descends_twice,
    ),
)

CLAIMS = tuple(dataclasses.replace(claim, check=without_diverged(claim.check)) for claim in _CLAIMS)

DISAGREEMENTS = (
    "Sharpness-aware minimization: the released entry point trains plain SGD, the step it would take is the "
    "gradient over its squared norm, and weights are not restored. We take Foret et al. 2021's, radius 0.05.",
    "Lines of the released optimizer script for Adam leave out the flag and train SGD at Adam's rates. We "
    "train Adam.",
    "The released code measures the network of the epoch with the best test accuracy. We take the last one; "
    "--checkpoint=best_test is theirs.",
    "Double descent: the text has 4,000 epochs, the file that is measured is written after 3,901; the widths "
    "skip 14, where a script has 16 twice. We take 4,000 epochs and all widths.",
    "Corners of planes: the pictures' script takes training images through random crops and flips. We take "
    "images as they are, as the scripts for double descent do.",
    "Window: for obtuse triangles the released code shows all three images, the paper's formula not. We take "
    "the code's; --window=paper is the formula's.",
    "Seeds: reproducibility 'with respect to random initialization' varies initial weights, order and "
    "augmentation together. So do ours by default; figure sources varies each alone.",
    "Margins: the text has random directions, the code directions to other training images, on a ladder of "
    "200 distances. We take the code's, without an image's direction to itself.",
    "Distillation: one of five names is unreadable, and the fifth must be a pretrained ViT, since the ViT of "
    "the matrix agrees less with convolutional networks. We leave that out and take WideRN10 for the other.",
    "Learning rates of the matrix are not published.",
)
