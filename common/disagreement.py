"""How far classifiers agree on examples, from the numbers that they give for them; loads no TensorFlow.

Measures of one model and of pairs of models, each a value an example, and their means with intervals over
examples. `comparison.compare` asks models for these numbers.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special, stats

from .arrays import class_labels
from .statistics import around, interval, interval_over_units


@dataclasses.dataclass(frozen=True)
class Measure:
    """What is measured.

    Args:
        title: A few words.
        definition: What it is, in a sentence.
        quantity: Its kind, one of `statistics.QUANTITIES`.
        of_pairs: Whether it is of two models, else of one.
    """

    title: str
    definition: str
    quantity: str
    of_pairs: bool = True


MEASURES = {
    "accuracy": Measure("accuracy", "share of the examples that get their label", "fraction", False),
    "loss": Measure("loss", "mean cross-entropy of the labels, in nats", "positive", False),
    "churn": Measure(
        "churn", "share of the examples whose predicted class differs between the two models", "fraction"
    ),
    "changes_for_the_worse": Measure(
        "changes for the worse",
        "share of the examples that the first model of a pair gets right and the second wrong",
        "fraction",
    ),
    "changes_for_the_better": Measure(
        "changes for the better",
        "share of the examples that the first model of a pair gets wrong and the second right",
        "fraction",
    ),
    "accuracy_change": Measure(
        "change of accuracy", "accuracy of the second model of a pair minus that of the first", "difference"
    ),
    "loss_change": Measure(
        "change of loss", "loss of the second model of a pair minus that of the first, in nats", "real"
    ),
    "prediction_difference": Measure(
        "prediction difference",
        "mean over examples of half the summed differences of the class probabilities: 0 if they are the "
        "same, 1 if the models share no class (with two classes, the difference of either's probability)",
        "fraction",
    ),
    "relative_prediction_difference": Measure(
        "relative prediction difference",
        "Snapp & Shamir 2021's, for two classes: mean over examples of the absolute difference of p1 "
        "and p2 over their mean, where p1 and p2 are the models' probabilities of class 1; the paper divides "
        "by the true probability, which labels do not tell",
        "positive",
    ),
    "reproducibility_score": Measure(
        "reproducibility score",
        "Somepalli et al. 2022's: share of the points of planes through three examples that the two models "
        "give the same class",
        "fraction",
    ),
    "fragmentation": Measure(
        "fragmentation",
        "Somepalli et al. 2022's: number of connected regions of one class on a plane through three "
        "examples, mean over planes",
        "positive",
        False,
    ),
    "margin": Measure(
        "margin",
        "Somepalli et al. 2022's: distance from an example to the first change of class, in directions of "
        "other examples; median over examples, in the unit of the inputs",
        "positive",
        False,
    ),
    "jacobian_norm": Measure(
        "Jacobian norm",
        "Gamba et al. 2022's: Euclidean norm of the gradient of the loss by the input, mean over examples, "
        "in nats by unit of the inputs",
        "positive",
        False,
    ),
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """A value with its 95 % interval.

    Args:
        value: The value.
        low: Lower end of the interval, nan where it has none.
        high: Upper end.
        n: Number of units that the interval is over.
        unit: What they are: "examples", "planes" or "models".
        over_models: Of a mean over the pairs of three models or more, the interval over models: low, high
            and their number.
    """

    value: float
    low: float
    high: float
    n: int
    unit: str = "examples"
    over_models: tuple[float, float, int] | None = None

    def as_dict(self) -> dict:
        """Returns the fields with None for what is not finite, as JSON wants it."""
        found = {"value": _finite(self.value), "low": _finite(self.low), "high": _finite(self.high)}
        over = self.over_models and dict(
            zip(("low", "high", "n"), (_finite(v) for v in self.over_models), strict=True)
        )
        return found | {"n": self.n, "unit": self.unit, "over_models": over}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What a classifier says of examples.

    Args:
        log_probabilities: Float64 array of shape (examples, classes).
        labels: Integer array of shape (examples,), or None.
    """

    log_probabilities: np.ndarray
    labels: np.ndarray | None

    @classmethod
    def of_logits(cls, logits: np.ndarray, labels: np.ndarray | None = None) -> "Predictions":
        """Returns the `Predictions` of logits of shape (examples, classes).

        Raises:
            ValueError: If logits are not finite, or labels not one of the classes for each example.
        """
        logits = np.asarray(logits, np.float64)
        if not np.isfinite(logits).all():
            undefined = int((~np.isfinite(logits)).any(axis=1).sum())
            raise ValueError(f"The model's logits must be finite. Received: {undefined} examples without")
        if labels is not None:
            labels = class_labels(labels)
            if len(labels) != len(logits):
                raise ValueError(f"{len(labels)} labels for {len(logits)} examples")
            wrong = labels[(labels < 0) | (labels >= logits.shape[1])]
            if wrong.size:
                raise ValueError(f"labels hold {wrong[0]}; the classes are 0 to {logits.shape[1] - 1}")
        return cls(logits - special.logsumexp(logits, axis=1, keepdims=True), labels)

    @property
    def classes(self) -> np.ndarray:
        """Predicted classes (examples,)."""
        return self.log_probabilities.argmax(axis=1)

    @property
    def confidences(self) -> np.ndarray:
        """Probabilities of the predicted classes (examples,)."""
        return np.exp(self.log_probabilities.max(axis=1))

    def of_examples(self) -> dict[str, np.ndarray]:
        """The measures of one model, name -> a value an example; none without labels."""
        if self.labels is None:
            return {}
        losses = -self.log_probabilities[np.arange(len(self.labels)), self.labels]
        return {"accuracy": (self.classes == self.labels).astype(np.float64), "loss": losses}


def pair_of_examples(first: Predictions, second: Predictions) -> dict[str, np.ndarray]:
    """The measures of two models, name -> float64 array of shape (examples,).

    Example:
    >>> labels = np.array([0, 1])
    >>> a = Predictions.of_logits(np.log([[0.75, 0.25], [0.25, 0.75]]), labels)
    >>> b = Predictions.of_logits(np.log([[0.75, 0.25], [0.75, 0.25]]), labels)
    >>> pair_of_examples(a, b)["prediction_difference"]
    array([0. , 0.5])

    Args:
        first: Of the model that is in use.
        second: Of the one that is to take its place, on the same examples.
    """
    a, b = np.exp(first.log_probabilities), np.exp(second.log_probabilities)
    found = {"churn": (first.classes != second.classes).astype(np.float64)}
    own, other = first.of_examples(), second.of_examples()
    if own:
        change = other["accuracy"] - own["accuracy"]
        found["changes_for_the_worse"] = (change < 0).astype(np.float64)
        found["changes_for_the_better"] = (change > 0).astype(np.float64)
        found["accuracy_change"] = change
        found["loss_change"] = other["loss"] - own["loss"]
    # Rounding may leave it above 1.
    found["prediction_difference"] = np.minimum(np.abs(a - b).sum(axis=1) / 2, 1.0)
    if a.shape[1] == 2:
        mean = (a[:, 1] + b[:, 1]) / 2
        difference = np.abs(a[:, 1] - b[:, 1])
        found["relative_prediction_difference"] = np.divide(
            difference, mean, out=np.zeros_like(mean), where=mean > 0
        )
    return found


def mean_over_examples(values: np.ndarray, quantity: str) -> Measured:
    """The mean of a value an example, with an interval over examples.

    Shares of examples that are or are not something have Wilson's interval (1927), which is not empty where
    none is, and what is better, worse or neither in each example that of Agresti & Min (2005, section 2: half
    an example more of each kind), for the same reason; other means Student's, on the scale of
    `statistics.around`.

    Args:
        values: Float array of shape (examples,).
        quantity: One of `statistics.QUANTITIES`.
    """
    values = np.asarray(values, np.float64)
    n, mean = len(values), float(values.mean())
    if quantity == "fraction" and (mean in (0.0, 1.0) or np.isin(values, (0.0, 1.0)).all()):
        found = stats.binomtest(round(mean * n), n).proportion_ci(0.95, "wilson")
        return Measured(mean, float(found.low), float(found.high), n)
    if quantity == "difference" and np.isin(values, (-1.0, 0.0, 1.0)).all():
        better, worse = (np.sum(values == sign) + 0.5 for sign in (1, -1))
        centre, all_of = (better - worse) / (n + 2), n + 2
        reach = stats.norm.ppf(0.975) * math.sqrt(((better + worse) / all_of - centre**2) / all_of)
        return Measured(mean, *around(float(centre), reach, quantity), n)
    if n < 2:
        return Measured(mean, math.nan, math.nan, n)
    reach = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
    return Measured(mean, *around(mean, reach, quantity), n)


def mean_over_planes(values: np.ndarray, quantity: str) -> Measured:
    """The mean of a value a plane, with an interval over planes."""
    values = np.asarray(values, np.float64)
    return Measured(float(values.mean()), *interval(values, quantity=quantity), len(values), "planes")


def mean_over_models(values: Sequence[float], quantity: str) -> Measured:
    """The mean of a value a model, with an interval over models."""
    found = np.asarray(values, np.float64)
    return Measured(float(found.mean()), *interval(found, quantity=quantity), len(found), "models")


def mean_over_pairs(
    pairs: Mapping[tuple[int, int], np.ndarray], name: str, unit: str = "examples"
) -> Measured:
    """The mean over pairs of models of a value an example or a plane.

    Its interval over examples (or planes) holds for these models; that over models, of three or more, says
    how it would vary with other ones: one model at a time is left out, with all its pairs.

    Args:
        pairs: Numbers of two models -> array of values, all of one shape.
        name: Its name in MEASURES.
        unit: "examples" or "planes".
    """
    quantity = MEASURES[name].quantity
    values = np.stack(list(pairs.values()))
    of_units = mean_over_examples if unit == "examples" else mean_over_planes
    found = of_units(values.mean(axis=0), quantity)
    models = {number for pair in pairs for number in pair}
    if len(pairs) != math.comb(len(models), 2) or len(models) < 3:
        return found
    low, high = interval_over_units(values.mean(axis=1), [np.array(list(pairs))], quantity=quantity)
    return dataclasses.replace(found, over_models=(low, high, len(models)))


def pairs_of(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """All pairs of models, the earlier one first."""
    return list(itertools.combinations(numbers, 2))


def is_chance(accuracy: float, num_classes: int, num_examples: int) -> bool:
    """Whether an accuracy is at most three standard errors above guessing's; never of a few examples."""
    chance = 1 / num_classes
    limit = chance + 3 * math.sqrt(chance * (1 - chance) / num_examples)
    return accuracy <= limit < 1
