"""The claims of Gamba et al. 2022 (arXiv 2209.10080), and where paper and code disagree."""

from common.study.claims import claims_of
from replications.smooth_interpolation.claims import epochs, pairs, scalar, volumes, widths

TITLE = "Gamba et al. 2022, Deep Double Descent via Smooth Interpolation (arXiv 2209.10080)"

CLAIMS = claims_of(pairs, scalar, widths, volumes, epochs)

DISAGREEMENTS = (
    "The loss at the training images undergoes double descent in section 4.1 and approaches zero past the "
    "threshold in section 4.2, where the loss over volumes undergoes it. Claim 6 has section 4.1's sentence.",
    "Asymmetric noise: 80 % of the labels of 20 of 100 classes are 16 % of the training set, not the 20 % of "
    "the text; the code corrupts 25 classes for 20 %, the first ones in place of random ones. We take 20 "
    "random classes; --num_corrupted_classes=25 --corrupted_classes=first is the code's.",
    "Equation 5 divides the tangent Hessian norm by M^2 delta^2 under the mean over images and scales the "
    "displacement by delta; the code divides by sqrt(M) delta and does not scale. The first is a constant "
    "factor, 1 / (delta M^1.5) for M copies, 1.25 for M = 4; the second is not, and --hessian_step=paper has "
    "it. Records and figures have the code's.",
    "The finite difference in the text of section 3.2 lacks a bracket around the difference of Jacobians.",
    "The number of paths is 8 by default in the code and 4 in the authors' example. With 8 paths the largest "
    "erasure removes the largest singular value of an image. We take 4; --num_paths=8 is the other.",
    "The code clips images with changed colours to [0, 1], but not the erasures that they are compared "
    "with, so part of its difference is clipping. We clip neither; --colour_clip=code is the code's.",
    "The code's command line defaults to a learning rate of 0.1 with steps, which is not the paper's "
    "constant one; --schedule=step has the steps. The ConvNets' rate of 0.005, with 5 epochs of warm-up from "
    "0.001, is our choice: the paper's appendix with the numbers was not available, and the command of the "
    "authors' sister repository (magamba/overparameterization) that has them trains a ResNet with "
    "augmentation.",
    "The ConvNets follow Nakkiran et al. but with momentum 0.9, a constant rate and without batch "
    "normalization. The sister repository's ConvNet pools by averages (--pooling=average); we follow the "
    "paper's own repository, with maxima.",
    "The ResNets' shortcuts are not normalized in the code; those of He et al. 2015, whom the text cites, "
    "are. We follow the code; --shortcuts=normalized is the other.",
    "The ResNets' initial weights are not stated; the code's default is Fixup although they have batch "
    "normalization. --initialization=he_normal is a variant.",
)
