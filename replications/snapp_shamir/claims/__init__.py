"""The claims of Snapp & Shamir 2021 (arXiv 2102.10696), and where the paper disagrees with itself."""

from common.study.claims import claims_of
from replications.snapp_shamir.claims import deep_networks, few_units, losses, quadratic, weights

TITLE = "Snapp & Shamir 2021, Synthesizing Irreproducibility in Deep Networks (arXiv 2102.10696)"

CLAIMS = claims_of(few_units, losses, weights, deep_networks, quadratic)

DISAGREEMENTS = (
    "Section 2 calls 2^26 training examples 65M; 2^26 is 67,108,864. We train on 2^26.",
    "Section 2 calls 2^16 evaluation examples 16K; 2^16 is 65,536. We evaluate on 2^16.",
    "Section 2 writes M = 16 for pairs of models and for models; equation 3 sums over M/2 pairs. We train 16 "
    "pairs, 32 models.",
    "Section 3 calls the 2 x 32 first-layer matrix of two units W^1; equation 6 calls it W^0. We follow the "
    "equation.",
    "The caption of figure 3 gives its third panel to two identity units, its fourth to two ReLU units with "
    "maximum shuffling; the text calls both ReLU, with minimum and maximum shuffling. We train all three.",
    "Section 6 writes feature i with probability 90/(j pi)^4. We read i as j.",
    "Figure 10 names no optimizer, the legends' beta values are not in the text, and no initial distribution "
    "is given. We take AdaGrad 0.1, grids of beta, and Keras's defaults.",
)
