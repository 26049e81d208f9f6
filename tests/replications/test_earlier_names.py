"""Records that were written before subset and statistic were columns."""

import pytest

from common.study.runs import find_runs, load_study, run_folder, study_names
from replications.smooth_interpolation.presets import STUDY as GAMBA
from replications.somepalli_boundaries.presets import STUDY as SOMEPALLI
from tests.made_rows import made_rows, named_values

NAMES = {
    "accuracy_all": ("accuracy", "all"),
    "accuracy_correct": ("accuracy", "clean"),
    "accuracy_mislabelled": ("accuracy", "noisy"),
    "accuracy_test": ("accuracy", "test"),
    "accuracy_mislabelled_true": ("accuracy_on_true_labels", "noisy"),
    "mislabelled_images": "noisy_images",
    "margin_aa_mean": ("margin", "all", "mean"),
    "margin_ca_median": ("margin", "clean", "median"),
    "margin_ma_kept": ("margin", "noisy", "count"),
    "fragmentation_all": ("fragmentation", "all"),
    "fragmentation_correct": ("fragmentation", "clean"),
    "fragmentation_test_deviation": ("fragmentation", "test", "deviation"),
    "uniform_winner": ("winner", "uniform"),
    "shuffled_winner_share": ("winner_share", "shuffled"),
    "uniform_num_classes": ("num_classes", "uniform"),
}
OF_CLASSES = {
    "test_accuracy_perturbed": ("accuracy", "test_perturbed"),
    "test_accuracy_unperturbed": ("accuracy", "test_unperturbed"),
    "tangent_hessian_norm_paper": None,
}
UNCHANGED = {
    name: name for name in ("train_accuracy", "test_accuracy", "class_skips", "tangent_hessian_norm")
}


@pytest.mark.parametrize("study,names", [(SOMEPALLI, NAMES), (GAMBA, OF_CLASSES)])
def test_earlier_names_are_read_as_the_present_ones(study, names, tmp_path):
    names = names | UNCHANGED
    settings = study.runs_of_figure(study.figures[-1], "smoke")[0].resolve()
    with run_folder(study, settings, str(tmp_path)) as folder:
        folder.start({}, "synthetic images")
        folder.finish("done", made_rows({old: float(i) for i, old in enumerate(names)}), {})
    expected = {new: float(i) for i, new in enumerate(names.values()) if new}
    assert named_values(folder.rows()) == expected
    ((_, run),) = find_runs(study, [settings], str(tmp_path))
    rows = run.rows.astype(object).where(run.rows.notna(), None).to_dict("records")
    assert named_values(rows) == expected


@pytest.mark.parametrize("name", study_names())
def test_no_present_name_is_an_earlier_one(name):
    names = load_study(name).earlier_names
    assert not {columns["metric"] for columns in names.values() if columns} & names.keys()
