"""The claims of Somepalli et al. 2022 (arXiv 2203.08124), and where paper and released code part."""

from common.study.claims import claims_of
from replications.somepalli_boundaries.claims import networks, training, widths, wrong_labels

TITLE = (
    "Somepalli et al. 2022, Can Neural Nets Learn the Same Model Twice? Investigating Reproducibility and "
    "Double Descent from the Decision Boundary Perspective (arXiv 2203.08124)"
)

CLAIMS = claims_of(networks, training, widths, wrong_labels)

DISAGREEMENTS = (
    "Sharpness-aware minimization: the released entry point trains plain SGD, the step it would take is the "
    "gradient over its squared norm, and weights are not restored. We take Foret et al. 2021's step with "
    "the text's radius, 0.01.",
    "Lines of the released optimizer script for Adam leave out the flag and train SGD at Adam's rates. We "
    "train Adam.",
    "The released main.py measures the network of the epoch with the best test accuracy. We take the last "
    "one; --checkpoint=best_test is theirs.",
    "Double descent: the text has 4,000 epochs, the file that is measured is written after 3,901; the widths "
    "skip 14, where a script has 16 twice. We take 4,000 epochs and all widths.",
    "Corners of planes: the pictures' script takes training images through random crops and flips. We take "
    "images as they are, as the scripts for double descent do.",
    "Window: for obtuse triangles the released code shows all three images, the paper's formula not. We take "
    "the code's; --window=paper is the formula's. Pictures go half beyond their images in the scripts, a "
    "tenth in the text: --picture_overhang=0.1.",
    "Seeds: reproducibility 'with respect to random initialization' varies initial weights, order and "
    "augmentation together. So do ours by default; figure sources varies each alone.",
    "Margins: the text has random directions, the code directions to other training images, on a ladder of "
    "200 distances. We take the code's, without an image's direction to itself.",
    "Distillation: the fifth network is a ViT that was trained on ImageNet; we leave it out. The released "
    "loss is a mean over the classes as well, a tenth of KL. We take KL; --distillation=kl_mean is theirs.",
    "Optimizers: the caption of table 1 has SGD more reproducible than Adam, its numbers only for ResNet18 "
    "and ViT. We take the numbers.",
    "Seeds of the matrix: 5 trainings in the text, seeds 0 to 2 in the README. We take 5.",
    "Triplets of scores: the text draws images 'from the training distribution', the code test images of "
    "three classes. We take test images; --triplets=train takes training images.",
    "The fully connected network has 5 hidden layers in the text; in the code it has 4, so 5 layers of "
    "weights. We take the code's.",
    "Learning rates of the matrix are not published, but for MLPMixer's in a released script; the text has a "
    "search over six rates for each network and optimizer.",
)
