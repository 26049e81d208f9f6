"""What is measured on a pair of trained models: relative PD, excess label loss, dead and diverged models."""

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.special import expit

from common.metrics.excess_label_loss import excess_label_loss
from common.metrics.prediction_difference import relative_prediction_difference
from common.statistics import summarize
from replications.snapp_shamir.data import unpack
from replications.snapp_shamir.models import build

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
        """Measures two models after `examples` training examples; returns tidy rows."""
        place = {"pair": pair, "examples": examples}
        patterns, counts, true_logits = self._set(pair)
        logits = np.stack([self.logits(w, patterns) for w in (weights_a, weights_b)])
        diverged = ~np.isfinite(logits).all(axis=1)
        rows = [
            {"metric": "diverged", "value": float(value), "statistic": "run", "member": m, **place}
            for m, value in enumerate(diverged)
        ]
        pd_value, losses = np.nan, np.full(2, np.nan)
        if not diverged.any():
            probabilities = expit(logits)
            true = expit(true_logits)
            pd_value = relative_prediction_difference(*probabilities, true, counts)
            losses = excess_label_loss(true_logits, logits, counts)
            spans = np.ptp(probabilities, axis=1)
            rows += [
                {"metric": "dead", "value": float(span < _DEAD_RANGE), "statistic": "run", "member": m}
                | place
                for m, span in enumerate(spans)
            ]
        rows += [
            {"metric": "excess_label_loss", "value": loss, "statistic": "run", "member": m, **place}
            for m, loss in enumerate(losses)
        ]
        return [
            *rows,
            {"metric": "excess_label_loss", "value": losses.mean(), "statistic": "pair", **place},
            {
                "metric": "relative_prediction_difference",
                "value": pd_value,
                "statistic": "pair",
                **place,
            },
        ]


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
        for metric in ("relative_prediction_difference", "excess_label_loss"):
            chosen = part[(part.metric == metric) & (part.statistic == "pair")]
            values = chosen.value.dropna()
            place = {"metric": metric, "examples": int(examples), "n": len(values)}
            if len(values):
                numbers = vars(summarize(values))
                summary += [
                    place | {"statistic": name, "value": numbers[name]}
                    for name in ("mean", "low", "high", "median", "q25", "q75")
                ]
        for metric in ("dead", "diverged"):
            chosen = part[part.metric == metric]
            summary.append(
                {
                    "metric": f"{metric}_models",
                    "value": float(chosen.value.sum()),
                    "statistic": "count",
                    "examples": int(examples),
                    "n": len(chosen),
                }
            )
    return summary


def table(finished):
    """One line a run: PD and excess loss with intervals over pairs, dead models and the speed.

    Args:
        finished: List of (settings, finished RunFolder).

    Returns:
        pandas.DataFrame of texts and numbers.
    """
    lines = []
    for settings, folder in finished:
        rows = pd.DataFrame(folder.rows())
        last = rows[rows.examples == rows.examples.max()]
        summary = {(row.metric, row.statistic): row for row in last.itertuples()}
        line = {
            "model": settings.model,
            "activation": settings.activation,
            "init": settings.init,
            "seed": settings.seed,
            "log2 z": settings.shuffle_log2,
        }
        for name, metric in (
            ("PD", "relative_prediction_difference"),
            ("loss", "excess_label_loss"),
        ):
            value = {s: summary[metric, s].value for s in ("mean", "low", "high", "median")}
            line[name] = f"{value['mean']:.3g}"
            line[f"{name} 95 %"] = f"[{value['low']:.2g}, {value['high']:.2g}]"
            line[f"{name} median"] = f"{value['median']:.3g}"
        times = folder.record["times"]
        # Each pair of a warm start also trains its donor.
        models = settings.pairs * (3 if settings.warm_start else 2)
        rate = 2**settings.examples_log2 * models / max(times["train_seconds"], 1e-3)
        lines.append(
            line
            | {
                "dead": int(summary["dead_models", "count"].value),
                "pairs": int(summary["relative_prediction_difference", "mean"].n),
                "examples": f"2^{settings.examples_log2}",
                "seconds": f"{times['train_seconds']:.1f}",
                "examples x models / s": f"{rate:.3g}",
            }
        )
    return pd.DataFrame(lines)
