"""The claims of Zhang et al. 2017 (arXiv 1611.03530) and of EE-411's rerun, and where the two disagree."""

from common.claims import Claim
from replications.zhang_randomization import claims_fitting, claims_regularizers

TITLE = (
    "Zhang et al. 2017, Understanding Deep Learning Requires Rethinking Generalization (arXiv 1611.03530), "
    "and its rerun by EE-411 (EPFL 2024)"
)

_ZHANG_1 = "Zhang et al., section 2.1, figure 1{}"
_TABLE_1 = "Zhang et al., table 1"

CLAIMS = (
    Claim(
        1,
        "Inception fits the training set under all five conditions, even random labels and random pixels.",
        _ZHANG_1.format("a"),
        ("1a",),
        claims_fitting.all_conditions_fit,
    ),
    Claim(
        2,
        "Random labels are fitted after true labels.",
        _ZHANG_1.format("a"),
        ("1a",),
        claims_fitting.random_labels_after_true_labels,
    ),
    Claim(
        3,
        "True labels are fitted first, then shuffled pixels, then random and Gaussian pixels, and random "
        "labels last.",
        _ZHANG_1.format("a"),
        ("1a",),
        claims_fitting.order_of_conditions,
    ),
    Claim(
        4,
        "True and random labels reach zero loss; randomized pixels take longer or do not converge.",
        "EE-411, section IV.A, figure 2",
        ("1a",),
        claims_fitting.pixels_after_random_labels,
    ),
    Claim(
        5,
        "Every network fits random labels, with a test accuracy of chance.",
        _ZHANG_1.format("b"),
        ("1b",),
        claims_fitting.random_labels_are_fitted,
    ),
    Claim(
        6,
        "Fitting takes longer the more labels are corrupted.",
        _ZHANG_1.format("b"),
        ("1b",),
        claims_fitting.slower_with_noise,
    ),
    Claim(
        7,
        "Random labels slow fitting down by a small constant factor, at most about 4.",
        _ZHANG_1.format("b"),
        ("1b",),
        claims_fitting.slowdown_is_small,
    ),
    Claim(
        8,
        "With any corrupted labels no network reaches 98 % training accuracy within 40 epochs.",
        "EE-411, section IV.B, figure 3",
        ("1b",),
        claims_fitting.nothing_fits_in_40_epochs,
    ),
    Claim(
        9,
        "With random labels the test error is 90 %, chance, for every network.",
        _ZHANG_1.format("c"),
        ("1c",),
        claims_fitting.error_at_random_labels,
    ),
    Claim(
        10,
        "The test error of each network rises with the part of the labels that is corrupted.",
        _ZHANG_1.format("c"),
        ("1c",),
        claims_fitting.error_grows_with_noise,
    ),
    Claim(
        11,
        "At every corruption below 1 the MLP has the highest test error, then AlexNet, then Inception.",
        "Zhang et al., figure 1c; EE-411, section IV.C, figure 4",
        ("1c",),
        claims_fitting.order_of_networks,
    ),
    Claim(
        12,
        "Weight decay is slightly better: 88.9 % test accuracy after 50 epochs against 87.2 % without.",
        "EE-411, section V.A, figure 5",
        ("2a",),
        claims_regularizers.weight_decay_gain,
    ),
    Claim(
        13,
        "With weight decay training takes longer to converge.",
        "EE-411, section V.A, figure 5",
        ("2a",),
        claims_regularizers.weight_decay_is_slower,
    ),
    Claim(
        14,
        "With weight decay, dropout and augmentation training has not converged after 100 epochs.",
        "EE-411, section V.A, figure 5",
        ("2a",),
        claims_regularizers.all_regularizers_do_not_converge,
    ),
    Claim(
        15,
        "Batch normalization improves the test accuracy of Inception.",
        "Zhang et al., figure 2b",
        ("2b",),
        claims_regularizers.batch_norm_helps,
    ),
    Claim(
        16,
        "Without batch normalization Inception stays at 10 % training and test accuracy.",
        "EE-411, section V.B, figure 6",
        ("2b",),
        claims_regularizers.no_batch_norm_stays_at_chance,
    ),
    Claim(
        17,
        "With batch normalization in the two downsample modules only Inception trains, and is 2 points worse "
        "than with all of it.",
        "EE-411, section V.B, figure 6",
        ("2b",),
        claims_regularizers.downsample_batch_norm,
    ),
    Claim(
        18,
        "In every row of the table the training set is fitted (99.3 to 100 %), and with random labels the "
        "test accuracy is chance (9.8 to 10.6 %).",
        _TABLE_1,
        ("table1",),
        claims_regularizers.every_row_is_fitted,
    ),
    Claim(
        19,
        "Test accuracies with true labels, from 89.31 % (Inception with crop) to 50.39 % (MLP 1x512).",
        _TABLE_1,
        ("table1",),
        claims_regularizers.accuracies_of_table_1,
    ),
    Claim(
        20,
        "Random crops regularize more than weight decay: Inception gains 3.56 points against 0.28, AlexNet "
        "3.59 against 1.29.",
        _TABLE_1,
        ("table1",),
        claims_regularizers.crop_beats_weight_decay,
    ),
    Claim(
        21,
        "Batch normalization is worth 3.75 points to Inception, and 3.03 with weight decay.",
        _TABLE_1,
        ("table1",),
        claims_regularizers.batch_norm_gain,
    ),
    Claim(
        22,
        "Without regularizers Inception is best, then AlexNet, then the MLP 3x512.",
        _TABLE_1,
        ("table1",),
        claims_regularizers.order_of_table_1,
    ),
    Claim(
        23,
        "The MLP 3x512 is better than the MLP 1x512 (1.88 points, and 2.96 with weight decay).",
        _TABLE_1,
        ("table1",),
        claims_regularizers.deeper_mlp_is_better,
    ),
    Claim(
        24,
        "Weight decay slightly hurts Inception with crop (-0.26 points) and the MLP 1x512 (-0.12).",
        _TABLE_1,
        ("table1",),
        claims_regularizers.weight_decay_hurts,
    ),
    Claim(
        25,
        "Without any explicit regularizer every network still generalizes, far above chance.",
        _TABLE_1,
        ("table1",),
        claims_regularizers.generalizes_without_regularizers,
    ),
)

DISAGREEMENTS = (
    "EE-411 states the gain from batch normalization in Zhang et al. as 1.5 %; their table 1 has 3.75 "
    "points, and 3.03 with weight decay. We hold our runs against the table.",
    "EE-411's Inception without batch normalization stays at 10 % in training and test; Zhang et al. have 82 "
    "and 83 % at a rate that they do not give. We train at 0.1, EE-411's rate, and at 0.01.",
    "EE-411's third model has batch normalization in the two downsample modules only; its 2 % improvement "
    "names no reference. We take it as full batch normalization minus the third model.",
    "EE-411's figure 1b is flat: every run with corrupted labels hits the cap of 40 epochs, and the authors "
    "call the result invalid; AlexNet and the MLP are inverted against Zhang et al. We draw a run that hits "
    "its cap as such and never use the cap as a number.",
    "Zhang et al. stop at zero training error; EE-411 reads zero training loss, tries losses from 0.1 to 0.6 "
    "and settles for 98 % training accuracy. --protocol chooses: all training images right, or 98 %.",
    "In EE-411's figure 1a random labels are fitted before randomized pixels, some of which do not converge; "
    "Zhang et al. have random labels last. Both are judged (claims 3 and 4).",
    "Gaussian pixels have the mean and variance of the data set in Zhang et al., those of each image and "
    "channel in EE-411, which keeps the image's mean colour. --gaussian_statistics chooses; by default the "
    "data set's, for each channel.",
    "Zhang et al. give no batch size. EE-411 infers 60 from figure 1a, reading six points as six epochs; a "
    "public rerun reaches the published accuracies with 128. --protocol chooses.",
    "Zhang et al. give no coefficient of weight decay. EE-411 takes 0.001; another public rerun 5e-4 for "
    "convolutional networks and 1e-4 for MLPs, which we take.",
    "Figure 2a of Zhang et al. is of ImageNet; EE-411's is of CIFAR-10, as ours.",
    "Figure 2a of Zhang et al. augments hue too; EE-411 leaves hue out and adds a horizontal flip, as we do.",
    "EE-411 calls the 10,000 test images validation images; they are the test set.",
)
