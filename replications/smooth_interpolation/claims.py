"""The claims of Gamba et al. 2022 (arXiv 2209.10080), and where paper and code disagree."""

from common.claims import Claim
from replications.smooth_interpolation import claims_epochs
from replications.smooth_interpolation import claims_widths as checks
from replications.smooth_interpolation.claims_runs import on_stand_in, threshold_is

TITLE = "Gamba et al. 2022, Deep Double Descent via Smooth Interpolation (arXiv 2209.10080)"

CLAIMS = (
    Claim(
        1,
        "The polynomial of large degree interpolates the noisy points with spikes and stays close to the "
        "noise-free function elsewhere.",
        "Section 1, figure 1a",
        ("1a",),
        checks.polynomial_is_spiky,
    ),
    Claim(
        2,
        "Networks interpolate the same kind of data smoothly: noise is predicted around the points too.",
        "Section 1, figure 1b",
        ("1a", "1b"),
        checks.network_is_smooth,
    ),
    Claim(
        3,
        "The smallest ConvNet with zero training error has base width 15.",
        "Section 4.3, figure 5",
        ("1c",),
        threshold_is(15),
    ),
    Claim(
        4,
        "The test error of the ConvNets peaks near the interpolation threshold and falls again behind it.",
        "Section 4, figure 1c",
        ("1c",),
        checks.double_descent,
    ),
    Claim(
        5,
        "Training accuracy grows monotonically with the width and stays at 100 % from the threshold on.",
        "Section 4.1, figure 2",
        ("2",),
        checks.training_accuracy_is_monotone,
    ),
    Claim(
        6,
        "The training loss at the images themselves peaks near the threshold and then tends to 0.",
        "Section 4.1, figure 2",
        ("2",),
        checks.loss_peaks,
    ),
    Claim(
        7,
        "Jacobian and Hessian norm peak at the threshold and fall behind it.",
        "Section 4.1, figure 2",
        ("2",),
        checks.sharpness_peaks,
    ),
    Claim(
        8,
        "Sharpness peaks where the test error does.",
        "Section 4.1, figures 1c and 2",
        ("2",),
        checks.peaks_coincide,
    ),
    Claim(
        9,
        "Loss and sharpness have the same peak over volumes of every size.",
        "Section 4.1, figure 2",
        ("2",),
        checks.volumes_peak,
    ),
    Claim(
        10,
        "The peaks are higher around wrong labels than around true ones.",
        "Section 4.2, figure 3",
        ("3",),
        checks.noisy_above_clean,
    ),
    Claim(
        11,
        "Accuracy over volumes grows with the width, around wrong labels too: wide networks predict them.",
        "Sections 4.1 and 4.2, figures 2 and 3",
        ("3",),
        checks.accuracy_grows,
    ),
    Claim(
        12,
        "Small networks fit true labels and have nearly no accuracy on wrong ones.",
        "Section 4.2, figure 3",
        ("3",),
        checks.small_fit_clean,
    ),
    Claim(
        13,
        "On CIFAR-100 test error and sharpness peak at the threshold without any label noise.",
        "Section 4.2, figures 1d and 4",
        ("1d", "4"),
        on_stand_in(checks.both_peak),
    ),
    Claim(
        14,
        "From the threshold on, test error, training loss and Jacobian norm rise and fall over the epochs.",
        "Section 4.3, figure 5",
        ("5",),
        claims_epochs.wide_recover,
    ),
    Claim(
        15,
        "Below the threshold neither test error nor loss nor Jacobian norm recovers by the end of training.",
        "Section 4.3, figure 5",
        ("5",),
        claims_epochs.narrow_do_not,
    ),
    Claim(
        16,
        "The smallest ResNet18 with zero training error has base width 18.",
        "Section 4.4, figure 6",
        ("6",),
        threshold_is(18),
    ),
    Claim(
        17,
        "Jacobian and Hessian norm of the ResNets peak near the threshold as well.",
        "Section 4.4, figure 6b",
        ("6",),
        checks.sharpness_peaks,
    ),
    Claim(
        18,
        "With data augmentation the test error peaks before the interpolation threshold.",
        "Section 4.4, figure 6a",
        ("6",),
        checks.peaks_before_threshold,
    ),
    Claim(
        19,
        "Over the largest volume ResNets are less accurate and sharper, still with a peak near the "
        "threshold.",
        "Section 4.4, figure 6b",
        ("6",),
        checks.largest_volume_is_sharper,
    ),
    Claim(
        20,
        "ResNets show the trend over the epochs as well.",
        "Section 4.4, figures 11 and 13",
        ("heatmaps",),
        claims_epochs.wide_recover,
    ),
    Claim(
        21,
        "Under asymmetric noise the loss becomes flat with the width around true and wrong labels.",
        "Section 4.5, figure 7a",
        ("7",),
        on_stand_in(checks.sharpness_falls_around_both),
    ),
    Claim(
        22,
        "The test error of unperturbed classes shows double descent, that of perturbed classes does not.",
        "Section 4.5, figure 7b",
        ("7",),
        on_stand_in(checks.only_unperturbed_descend),
    ),
    Claim(
        23,
        "Two trainings on the same images and labels differ more at the interpolation threshold than for the "
        "narrowest and the widest network.",
        "Beyond the paper: Somepalli et al. 2022, section 5, asks it of decision regions",
        ("pd",),
        checks.seeds_differ_most_at_threshold,
    ),
)

DISAGREEMENTS = (
    "Asymmetric noise: 80 % of the labels of 20 of 100 classes are 16 % of the training set, not the 20 % of "
    "the text; the code corrupts 25 classes for 20 %, the first ones in place of random ones. We take 20 "
    "random classes; --num_corrupted_classes=25 --corrupted_classes=first is the code's.",
    "Equation 5 divides the tangent Hessian norm by M^2 delta^2 under the mean over images and scales the "
    "displacement by delta; the code divides by sqrt(M) delta and does not scale. Both are constant factors "
    "(the paper's is 1.25 times the code's for M = 4); records hold both, figures show the code's.",
    "The finite difference in the text of section 3.2 lacks a bracket around the difference of Jacobians.",
    "The number of paths is 8 by default in the code and 4 in the authors' example. With 8 paths the largest "
    "erasure removes the largest singular value of an image. We take 4; --num_paths=8 is the other.",
    "The code clips images with changed colours to [0, 1], but not the erasures that they are compared "
    "with, so part of its difference is clipping. We clip neither; --colour_clip=code is the code's.",
    "The code's command line defaults to a learning rate of 0.1 with steps, which is not the paper's "
    "constant one. The rate of 0.005, with 5 epochs of warm-up from 0.001, is that of the worked command of "
    "the authors' sister repository (magamba/overparameterization); the paper's appendix with the numbers "
    "was not available.",
    "The ConvNets follow Nakkiran et al. but with momentum 0.9, a constant rate and without batch "
    "normalization. The sister repository's ConvNet pools by averages; we follow the paper's own repository, "
    "with maxima.",
    "The ResNets are post-activation with shortcuts that are not normalized; those of Nakkiran et al., whose "
    "setting the paper reproduces, are pre-activation. We follow the code.",
    "The ResNets' initial weights are not stated; the code's default is Fixup although they have batch "
    "normalization. --initialization=he_normal is a variant.",
)
