"""What metrics of Somepalli et al.'s records were called once: subset and statistic were in the name."""

_SUBSETS = {"all": "all", "correct": "clean", "mislabelled": "noisy", "test": "test"}
_MARGINS = {"aa": "all", "ca": "clean", "ma": "noisy"}
_STATISTICS = {"mean": "mean", "median": "median", "kept": "count"}

EARLIER_NAMES = {
    **{f"accuracy_{old}": {"metric": "accuracy", "subset": new} for old, new in _SUBSETS.items()},
    "accuracy_mislabelled_true": {"metric": "accuracy_on_true_labels", "subset": "noisy"},
    "mislabelled_images": {"metric": "noisy_images"},
    **{
        f"margin_{old}_{end}": {"metric": "margin", "subset": subset, "statistic": statistic}
        for old, subset in _MARGINS.items()
        for end, statistic in _STATISTICS.items()
    },
    **{
        f"fragmentation_{old}{end}": {"metric": "fragmentation", "subset": _SUBSETS[old]} | columns
        for old in ("all", "test", "correct")
        for end, columns in {"": {}, "_deviation": {"statistic": "deviation"}}.items()
    },
    **{
        f"{kind}_{metric}": {"metric": metric, "subset": kind}
        for kind in ("uniform", "shuffled")
        for metric in ("winner", "winner_share", "num_classes")
    },
}
