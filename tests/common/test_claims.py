import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from common import claims, program
from common.claims import (
    Bounds,
    Claim,
    Contrast,
    Estimate,
    Outcome,
    about,
    above,
    below,
    compare,
    ratio,
    slope,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    width: int = 1
    examples: int = 8
    data: str = "toy"
    seed: int = 0

    def resolve(self):
        return self


def figure(name, scale):
    examples = {"smoke": 2, "laptop": 4, "paper": 8}[scale]
    return [Settings(width, examples) for width in (1, 2)]


TOY = program.Replication(
    name="toy",
    settings=Settings,
    protocol_version=1,
    figures=("1",),
    figure=figure,
    estimate=lambda s: 0.0,
    swept="width",
)


def write(out_dir, settings, value=1.0):
    with program.run_folder(TOY, settings, out_dir) as folder:
        folder.start({})
        folder.finish("done", [{"metric": "m", "value": value, "statistic": "mean"}], None)


def claim(check):
    return Claim(1, "Width does something.", "figure 1", ("1",), check)


def widest(evidence):
    value = evidence.run(width=2).rows.value.iloc[0]
    return Outcome("reproduced" if value > 0 else "contradicted", f"It is {value}.")


def heavy_tailed(n=16):
    return np.exp(2 * np.random.default_rng(1).normal(size=n))


def test_a_ratio_of_matched_pairs_ignores_what_the_pairs_share():
    pairs = heavy_tailed()
    matched = ratio("", 3 * pairs, pairs).estimate()
    assert (matched.value, matched.low, matched.high, matched.median) == pytest.approx((3, 3, 3, 3))
    independent = ratio("", 3 * pairs, pairs, paired=False).estimate()
    assert independent.value == pytest.approx(3)
    assert independent.low < 2 < 5 < independent.high


def test_an_independent_ratio_has_the_interval_of_the_delta_method():
    generator = np.random.default_rng(2)
    top, bottom = generator.normal(20, 2, 400), generator.normal(10, 2, 900)
    error = math.sqrt(0.1**2 / 400 + 0.2**2 / 900)
    found = ratio("", top, bottom, paired=False).estimate()
    assert math.log(found.low) == pytest.approx(math.log(found.value) - 1.96 * error, abs=error / 5)
    assert math.log(found.high) == pytest.approx(math.log(found.value) + 1.96 * error, abs=error / 5)


def test_a_slope_is_the_factor_per_doubling():
    pairs, examples = heavy_tailed(), np.array([8.0, 16.0, 32.0, 64.0])
    falling = slope("", [pairs / math.sqrt(n) for n in examples], np.log2(examples))
    assert falling.estimate().value == pytest.approx(2**-0.5)
    flat = slope("", [pairs] * 4, np.log2(examples))
    assert claims.quotient("", flat, falling).estimate().low == pytest.approx(2**0.5)


def test_a_higher_level_widens_the_interval_and_the_seed_is_fixed():
    generator = np.random.default_rng(3)
    contrast = ratio("", generator.normal(10, 1, 16), generator.normal(10, 1, 16))
    narrow, wide = contrast.estimate(), contrast.estimate(0.9975)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert contrast.estimate() == narrow


@pytest.mark.parametrize("values", [([1.0], [2.0]), ([], []), ([0.0, 0.0], [0.0, 0.0])])
def test_no_interval_leaves_an_ordering_unclear(values):
    outcome = compare("It", [ratio("a over b", *values)], above())
    assert outcome.verdict == "unclear"


@pytest.mark.parametrize(
    "bounds,low,high,verdict",
    [
        (above(1), 1.1, 2, "reproduced"),
        (above(1), 0.5, 0.9, "contradicted"),
        (above(1), 0.9, 1.1, "unclear"),
        (below(1), 0.5, 0.9, "reproduced"),
        (below(1), 1.1, 2, "contradicted"),
        (about(1e-7, 10), 2e-8, 9e-7, "reproduced"),
        (about(1e-7, 10), 2e-8, 2e-6, "unclear"),
        (about(1e-7, 10), 2e-6, 3e-6, "contradicted"),
        (about(1, 2), 0.1, 10, "unclear"),
        (Bounds(), math.nan, math.nan, "unclear"),
    ],
)
def test_the_interval_decides(bounds, low, high, verdict):
    assert bounds.verdict(low, high) == verdict


def certain(label, value):
    return ratio(label, np.full(4, value), np.ones(4))


NOISY = Contrast("noisy", (np.array([0.5, 2.0, 0.4, 2.5]),), (1.0,))


@pytest.mark.parametrize(
    "contrasts,every,any_one",
    [
        ([certain("a", 2), certain("b", 3)], "reproduced", "reproduced"),
        ([certain("a", 2), certain("b", 0.5)], "contradicted", "reproduced"),
        ([certain("a", 2), NOISY], "unclear", "reproduced"),
        ([certain("a", 0.5), NOISY], "contradicted", "unclear"),
        ([certain("a", 0.5), certain("b", 0.2)], "contradicted", "contradicted"),
    ],
)
def test_a_family_of_comparisons(contrasts, every, any_one):
    assert compare("It", contrasts, above()).verdict == every
    assert compare("It", contrasts, above(), every=False).verdict == any_one


def test_a_large_family_names_its_closest_call_and_shares_the_error():
    seen = compare("PD", [certain(f"z = {z}", 1 + z) for z in (4, 1, 3, 2, 5)], above()).seen
    assert seen == (
        "PD, expected above 1 (99 % intervals): 5 of 5 reproduced (closest z = 1: 2 [2, 2] (median 2))"
    )
    seen = compare("PD", [certain("a", 2), certain("b", 0.5)], below()).seen
    assert "1 of 2 reproduced (b: 0.5 [0.5, 0.5] (median 0.5)), 1 of 2 contradicted (a: 2 [2, 2]" in seen


def test_an_order_of_magnitude_with_one_seed():
    sample = [1e-7 * x for x in (1, 1.1, 1.2, 1.3)]
    for order, verdict in ((1e-7, "reproduced"), (1e-3, "contradicted"), (1.15e-6, "unclear")):
        outcome = claims.magnitude("PD", [sample], order, "paper")
        assert (outcome.verdict, "one seed" in outcome.seen) == (verdict, True)
    assert claims.magnitude("PD", [sample], 1e-7, "laptop").verdict == claims.NOT_JUDGED


def test_an_order_of_magnitude_with_five_seeds_says_how_many_lie_inside():
    seeds = [[x] * 3 for x in (1e-7, 2e-7, 1e-7, 3e-7, 2e-6)]
    outcome = claims.magnitude("PD", seeds, 1e-7, "paper")
    assert outcome.verdict == "reproduced"
    assert "4 of 5 seeds within a factor of 10 of 1e-07" in outcome.seen
    assert f"{stats.gmean([x for x, *_ in seeds]):.3g}" in outcome.seen


def test_parts_of_a_claim():
    parts = {v: Outcome(v, v) for v in (*claims.VERDICTS, claims.NOT_JUDGED)}
    for verdicts, expected in (
        (("reproduced", "not judged"), "reproduced"),
        (("reproduced", "unclear"), "unclear"),
        (("unclear", "contradicted", "reproduced"), "contradicted"),
        (("not judged",), "unclear"),
    ):
        assert claims.together(*(parts[v] for v in verdicts)).verdict == expected
    assert claims.together(parts["unclear"], parts["reproduced"]).seen == "Unclear; reproduced."


@pytest.mark.parametrize(
    "value,text", [(3251.4, "3,250"), (1.04e-7, "1.04e-07"), (0.1888, "0.189"), (2e6, "2e+06"), (12.0, "12")]
)
def test_numbers_have_three_digits(value, text):
    assert claims.number(value) == text


def test_an_estimate_without_an_interval_says_so():
    assert str(Estimate(2.0, math.nan, math.nan, 1)) == "2 [no interval from n = 1]"


def test_a_claim_is_judged_at_its_largest_finished_scale(tmp_path):
    write(tmp_path, Settings(2, 2))
    write(tmp_path, Settings(2, 4), -1.0)
    (judgement,) = claims.judge([claim(widest)], TOY, tmp_path)
    assert judgement.verdict == "contradicted at laptop scale, toy data"
    assert [run.record["settings"]["examples"] for run in judgement.runs] == [4]
    (judgement,) = claims.judge([claim(widest)], TOY, tmp_path, "smoke")
    assert judgement.verdict == "reproduced at smoke scale, toy data"
    (judgement,) = claims.judge([claim(widest)], TOY, tmp_path, "paper")
    assert judgement.verdict == "not run at paper scale"


def test_a_check_needs_only_the_runs_it_asks_for(tmp_path):
    write(tmp_path, Settings(1, 8))
    narrow = claim(lambda evidence: Outcome("reproduced", str(evidence.values("width", examples=8))))
    everything = claim(lambda evidence: Outcome("reproduced", str(len(evidence.runs()))))
    found = claims.judge([narrow, claim(widest), everything], TOY, tmp_path)
    assert [j.outcome.verdict for j in found] == ["reproduced", "not run", "not run"]
    assert found[0].outcome.seen == "[1, 2]"
    assert found[1].outcome.seen == "1 of the 2 runs of figure 1 at paper scale are finished."
    assert found[1].scale is None


def test_seeds_that_exist_are_found(tmp_path):
    for seed in (0, 1, 3, 5):
        write(tmp_path, Settings(1, 8, seed=seed), float(seed))
    evidence = claims.Evidence(TOY, ("1",), tmp_path, "paper")
    assert [run.rows.value[0] for run in evidence.seeds(width=1)] == [0, 1, 3]
    with pytest.raises(claims.MissingRunsError):
        evidence.seeds(width=2)


def test_settings_outside_the_figure_are_a_mistake_of_the_check(tmp_path):
    with pytest.raises(LookupError, match=r"Received: \{'width': 3\}"):
        claims.Evidence(TOY, ("1",), tmp_path, "paper").run(width=3)
