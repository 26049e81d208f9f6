"""What is measured on a pair of trained models: relative PD, excess label loss, dead and diverged models."""

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.special import expit

from common.metrics.excess_label_loss import excess_label_loss
from common.metrics.prediction_difference import relative_prediction_difference
from common.statistics import interval_of_pairs, summarize
from replications.snapp_shamir.data import unpack
from replications.snapp_shamir.models import build

METRICS = ("relative_prediction_difference", "excess_label_loss")
_CHUNK = 8192
# A model whose predictions span less than this over the evaluation set has stopped looking at its input.
_DEAD_RANGE = 1e-6


class Evaluation:
    """Measures pairs of models, each pair on its own evaluation set (section 2).

    Logits are computed in float64 from the trained weights: at log2 z = 0 differences of 1e-7 are at the
    resolution of a float32 probability itself.

    Args:
        settings: Resolved Settings.
        stream: The `data.ExampleStream` of the experiment.
        streams: The run's `Streams`.
    """

    def __init__(self, settings, stream, streams):
        self._settings, self._stream, self._streams = settings, stream, streams
        self._model = build(settings, dtype="float64")
        self._apply = tf.function(self._model, reduce_retracing=True)
        self._sets = {}

    def _set(self, pair):
        if pair not in self._sets:
            self._sets[pair] = self._stream.evaluation_set(
                self._streams.key("measurement", pair), 2**self._settings.evaluation_log2
            )
        return self._sets[pair]

    def logits(self, weights, examples):
        """One model's logits on packed examples: float64."""
        self._model.set_weights(weights)
        features = unpack(examples).astype(np.float64)
        chunks = [features[i : i + _CHUNK] for i in range(0, len(features), _CHUNK)]
        return np.concatenate([self._apply(tf.constant(x)).numpy()[:, 0] for x in chunks])

    def rows(self, weights_a, weights_b, pair, examples):
        """Measures two models after `examples` training examples.

        Returns:
            Tidy rows: PD and excess loss of the pair (the loss also of each model, `member` 0 and 1), and one
            row of value 1 for each model that is dead or has diverged. A diverged pair's PD and loss are nan.
        """
        place = {"pair": pair, "examples": examples}
        patterns, counts, true_logits = self._set(pair)
        members = weights_a, weights_b
        logits = np.stack([self.logits(weights, patterns) for weights in members])
        rows = []

        def add(metric, value, statistic, **coordinates):
            row = {"metric": metric, "value": float(value), "statistic": statistic}
            rows.append(row | coordinates | place)

        # An undefined weight does not always show in the logits: rectifiers may turn it into zero.
        finite = [all(np.isfinite(array).all() for array in weights) for weights in members]
        diverged = ~(np.isfinite(logits).all(axis=1) & finite)
        difference, losses = np.nan, np.full(2, np.nan)
        if not diverged.any():
            probabilities = expit(logits)
            difference = relative_prediction_difference(*probabilities, expit(true_logits), counts)
            losses = excess_label_loss(true_logits, logits, counts)
            is_flat = np.ptp(probabilities, axis=1) < _DEAD_RANGE
            for member in np.flatnonzero(is_flat & (probabilities.shape[1] > 1)):
                add("dead", 1, "run", member=int(member))
        for member in np.flatnonzero(diverged):
            add("diverged", 1, "run", member=int(member))
        for member, loss in enumerate(losses):
            add("excess_label_loss", loss, "run", member=member)
        add("excess_label_loss", losses.mean(), "pair")
        add("relative_prediction_difference", difference, "pair")
        return rows


def summary_rows(rows):
    """Summaries over pairs at each number of examples; diverged pairs are counted, not averaged.

    Args:
        rows: Rows of all pairs, as `Evaluation.rows` gives them.

    Returns:
        Rows with statistic mean, low and high (95 % interval of the mean), median, q25, q75, and the counts
        of dead and diverged models (statistic "count"); `n` is the number of pairs or models behind them.
    """
    table = pd.DataFrame(rows)
    summary = []
    for examples, part in table.groupby("examples"):
        pairs = part[part.statistic == "pair"]
        for metric in METRICS:
            values = pairs[pairs.metric == metric].value.dropna()
            place = {"metric": metric, "examples": int(examples), "n": len(values)}
            if len(values):
                numbers = vars(summarize(values, "positive"))
                summary += [
                    {"value": numbers[name], "statistic": name} | place
                    for name in ("mean", "low", "high", "median", "q25", "q75")
                ]
        for metric in ("dead", "diverged"):
            place = {"examples": int(examples), "n": 2 * pairs.pair.nunique()}
            count = float((part.metric == metric).sum())
            summary.append({"metric": f"{metric}_models", "value": count, "statistic": "count"} | place)
    return summary


def table_row(settings, folder):
    """A run in the printed table: PD and excess loss with intervals over pairs, dead models, the speed.

    Args:
        settings: Resolved Settings.
        folder: Its finished RunFolder.

    Returns:
        Dictionary of texts and numbers.
    """
    rows = pd.DataFrame(folder.rows())
    last = rows[rows.examples == rows.examples.max()]
    summary = {(row.metric, row.statistic): row.value for row in last.itertuples()}
    found = {
        "model": settings.model,
        "activation": settings.activation,
        "init": settings.init,
        "seed": settings.seed,
        "log2 z": settings.shuffle_log2,
    }
    for name, metric in zip(("PD", "loss"), METRICS, strict=True):
        value = {s: summary.get((metric, s), np.nan) for s in ("mean", "low", "high", "median")}
        pairs = last[(last.metric == metric) & (last.statistic == "pair")].value
        value["low"], value["high"] = interval_of_pairs(pairs, value["low"], value["high"])
        found[name] = f"{value['mean']:.3g}"
        is_known = np.isfinite(value["low"])
        found[f"{name} 95 %"] = f"[{value['low']:.2g}, {value['high']:.2g}]" if is_known else "no interval"
        found[f"{name} median"] = f"{value['median']:.3g}"
    # Each pair of a warm start also trains its donor.
    models = settings.pairs * (3 if settings.warm_start else 2)
    # None if the first block was the whole run.
    seconds = folder.record["times"].get("train_seconds", 0.0)
    rate = f"{2**settings.examples_log2 * models / seconds:.3g}" if seconds else ""
    return found | {
        "dead": int(summary["dead_models", "count"]),
        "diverged": int(summary["diverged_models", "count"]),
        "pairs": settings.pairs,
        "examples": f"2^{settings.examples_log2}",
        "seconds": f"{seconds:.1f}",
        "examples x models / s": rate,
    }
