"""Which settings reach the compiled programs: all but those that an experiment names."""

import dataclasses

import pytest

from common.study.runs import load_study, study_names
from common.study.setting import setting, without

REACHING = {
    "smooth_interpolation": "dataset num_train batch_size optimizer weight_decay network width "
    "initialization pooling shortcuts augmentation num_paths strengths num_copies colour_clip hessian_step "
    "measurement_seed",
    "snapp_shamir": "model data activation beta optimizer batch_size batch_order precision",
    "somepalli_boundaries": "num_train batch_size optimizer weight_decay protocol network width "
    "depth sam_radius mixup augmentation distillation teacher teacher_width temperature",
    "zhang_randomization": "dataset num_train num_test batch_size optimizer weight_decay protocol network "
    "batch_norm initialization augmentation "
    "batch_norm_momentum dropout decay_weights decayed_weights",
}


def papers():
    """Those whose runs share compiled programs."""
    return [name for name in study_names() if hasattr(load_study(name).experiment(), "UNCOMPILED")]


@pytest.mark.parametrize("name", papers())
def test_every_setting_reaches_the_network_or_is_named_as_one_that_does_not(name):
    """A new setting fails here until it is listed above, or among those that need no compilation."""
    paper = load_study(name)
    uncompiled = set(paper.experiment().UNCOMPILED)
    fields = {field.name for field in dataclasses.fields(paper.settings)}
    assert uncompiled <= fields
    assert fields - uncompiled == set(REACHING[name].split())


@pytest.mark.parametrize("name", papers())
def test_a_new_setting_reaches_the_network(name):
    paper = load_study(name)
    extended = dataclasses.make_dataclass(
        "Extended", [("batch_norm_new", bool, setting(False, "New."))], bases=(paper.settings,), frozen=True
    )
    settings = extended(batch_norm_new=True, seed=3)
    assert without(settings, paper.experiment().UNCOMPILED).batch_norm_new
