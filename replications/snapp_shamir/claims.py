"""The twenty claims of Snapp & Shamir 2021 (arXiv 2102.10696), and where the paper disagrees with itself."""

from common.claims import Claim
from replications.snapp_shamir import claims_deep, claims_simple

TITLE = "Snapp & Shamir 2021, Synthesizing Irreproducibility in Deep Networks (arXiv 2102.10696)"

_FIGURE_2 = "section 3, figure 2"

CLAIMS = (
    Claim(
        1,
        "One identity unit, identical initialization, no shuffling: PD is of order 1e-7.",
        _FIGURE_2,
        ("2",),
        claims_simple.identity_order,
    ),
    Claim(
        2,
        "One identity unit: distinct initialization raises PD by orders of magnitude, to order 1e-4.",
        _FIGURE_2,
        ("2",),
        claims_simple.identity_initialization,
    ),
    Claim(
        3,
        "ReLU with distinct initialization: PD is of order 1e-2 and stays there with more shuffling.",
        _FIGURE_2,
        ("2",),
        claims_simple.relu_level,
    ),
    Claim(
        4,
        "The linear model has the lowest PD at every window (identical initialization) and the lowest loss.",
        _FIGURE_2,
        ("2",),
        claims_simple.linear_is_best,
    ),
    Claim(
        5,
        "Distinct initialization costs the linear model some PD without shuffling, less than one-unit "
        "models, and nothing with aggressive shuffling.",
        _FIGURE_2,
        ("2",),
        claims_simple.linear_initialization,
    ),
    Claim(
        6,
        "At aggressive shuffling the linear model's PD is high too, but improves with more training "
        "examples; the deep models' hardly does.",
        "section 3, time series",
        ("2",),
        claims_simple.more_training,
    ),
    Claim(
        7,
        "With identical initialization and no shuffling one-unit models are not far behind the linear one; "
        "the gap grows with shuffling.",
        _FIGURE_2,
        ("2",),
        claims_simple.gap_to_linear,
    ),
    Claim(
        8,
        "Two ReLU units have PD orders of magnitude above the linear model's even with identical "
        "initialization and no shuffling; two identity units do not.",
        _FIGURE_2,
        ("2",),
        claims_simple.relu2_stands_out,
    ),
    Claim(
        9,
        "With enough shuffling identical initialization is as bad as distinct, and identity's advantage "
        "over ReLU fades.",
        _FIGURE_2,
        ("2",),
        claims_simple.aggressive_shuffling,
    ),
    Claim(
        10,
        "A model's loss depends neither on the window nor on the initialization.",
        _FIGURE_2,
        ("2",),
        claims_simple.loss_is_flat,
    ),
    Claim(
        11,
        "One identity and one ReLU unit have losses of the same order, both above the linear model's; a "
        "second unit improves loss and raises PD.",
        "sections 1 and 3, figure 2",
        ("2",),
        claims_simple.more_units,
    ),
    Claim(
        12,
        "Weight differences of a ReLU pair are of order 1e-6 without and 1e-2 with maximum shuffling.",
        "section 3, figure 4",
        ("4",),
        claims_simple.weight_differences,
    ),
    Claim(
        13,
        "The cosine between the errors of two distinctly initialized linear models is almost 1 without "
        "shuffling and 0.191 with maximum shuffling.",
        "section 3, with figure 3",
        ("3",),
        claims_simple.directions,
    ),
    Claim(
        14,
        "Some distinctly initialized pairs of one identity unit converge to weights of opposite signs; "
        "identically initialized ones never do.",
        "section 3, figure 3",
        ("2",),
        claims_simple.sign_flips,
    ),
    Claim(
        15,
        "Tower: ReLU has high PD even without shuffling, identity of order 1e-6; some ReLU models are stuck, "
        "with higher loss and PD.",
        "section 4, figure 6",
        ("6",),
        claims_deep.tower,
    ),
    Claim(
        16,
        "Wide embedding: linear has the best PD, ReLU the worst even without shuffling; too large a learning "
        "rate degrades loss and PD; well tuned, identity has a better loss than linear.",
        "section 5, figure 8",
        ("8",),
        claims_deep.wide,
    ),
    Claim(
        17,
        "Quadratic data: nonlinear networks substantially outperform the linear model; their loss does not "
        "depend on the window.",
        "section 6, figure 10",
        ("10",),
        claims_deep.nonlinear_wins,
    ),
    Claim(
        18,
        "With limited shuffling tuned SmeLU has slightly lower PD than tuned Swish and both less than ReLU, "
        "at comparable loss; the gains vanish with aggressive shuffling.",
        "section 6, figure 10",
        ("10",),
        claims_deep.smooth_gains,
    ),
    Claim(
        19,
        "A smoother SmeLU or Swish has lower PD and, at some point, higher loss.",
        "section 6, figure 10",
        ("10",),
        claims_deep.width_trade_off,
    ),
    Claim(
        20,
        "A warm start lowers ReLU's PD at every window at competitive loss (it saw twice the data).",
        "section 6, figure 10",
        ("10",),
        claims_deep.warm_start,
    ),
)

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
