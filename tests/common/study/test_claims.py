import dataclasses

import numpy as np
import pytest

from common.study import claims
from common.study.claims import Claim
from common.study.runs import Study, find_runs, finished_seeds, run_folder
from common.study.verdicts import Outcome


@dataclasses.dataclass(frozen=True)
class Settings:
    width: int = 1
    examples: int = 8
    data: str = "toy"
    seed: int = 0

    def resolve(self):
        return self


def runs_of_figure(name, scale):
    examples = {"smoke": 2, "laptop": 4, "paper": 8}[scale]
    return [Settings(width, examples) for width in (1, 2)]


TOY = Study(
    name="toy",
    settings=Settings,
    protocol_version=1,
    figures=("1",),
    runs_of_figure=runs_of_figure,
    estimate=lambda s: 0.0,
    compiles_once_over="width",
)


def write(out_dir, settings, value=1.0):
    with run_folder(TOY, settings, out_dir) as folder:
        folder.start({})
        folder.finish("done", [{"metric": "m", "value": value, "statistic": "mean"}], None)


def claim(check):
    return Claim(1, "Width does something.", "figure 1", ("1",), check)


def widest(evidence):
    value = evidence.run(width=2).rows.value.iloc[0]
    return Outcome("reproduced" if value > 0 else "contradicted", f"It is {value}.")


def test_a_claim_is_judged_at_its_largest_finished_scale(tmp_path):
    write(tmp_path, Settings(2, 2))
    write(tmp_path, Settings(2, 4), -1.0)
    (judgement,) = claims.judge([claim(widest)], TOY, tmp_path)
    assert judgement.verdict == "contradicted at laptop scale, toy data"
    assert [run.record["settings"]["examples"] for run in judgement.runs] == [4]
    (judgement,) = claims.judge([claim(widest)], TOY, tmp_path, "smoke")
    assert judgement.verdict == "reproduced at smoke scale, toy data"
    (judgement,) = claims.judge([claim(widest)], TOY, tmp_path, "paper")
    assert judgement.verdict == "not run (about 0 s) at paper scale"


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
    for seed in (0, 1, 3, 8, 14):
        write(tmp_path, Settings(1, 8, seed=seed), float(seed))
    evidence = claims.Evidence(TOY, ("1",), tmp_path, "paper")
    assert [run.rows.value[0] for run in evidence.seeds(width=1)] == [0, 1, 3, 8]  # five in a row end it
    with pytest.raises(claims.MissingRunsError):
        evidence.seeds(width=2)


@pytest.mark.parametrize(
    ("first", "seeds", "exploratory"), [(0, [0, 1, 2], False), (2, [2], False), (3, [0, 1, 2], True)]
)
def test_confirmatory_seeds_decide_alone_where_there_are_any(first, seeds, exploratory, tmp_path):
    for seed in range(3):
        write(tmp_path, Settings(1, 8, seed=seed), float(seed))
    evidence = claims.Evidence(TOY, ("1",), tmp_path, "paper", first)
    assert [run.rows.value[0] for run in evidence.seeds(width=1)] == seeds
    assert sorted(settings.seed for settings in evidence.used) == seeds
    assert evidence.is_exploratory == exploratory


def test_settings_outside_the_figure_are_a_mistake_of_the_check(tmp_path):
    with pytest.raises(LookupError, match=r"Received: \{'width': 3\}"):
        claims.Evidence(TOY, ("1",), tmp_path, "paper").run(width=3)


def seeded_figure(name, scale):
    return [
        dataclasses.replace(settings, seed=seed)
        for settings in runs_of_figure(name, scale)
        for seed in (0, 1, 2)
    ]


SEEDED = dataclasses.replace(TOY, runs_of_figure=seeded_figure)


def write_seeds(out_dir, seeds_of_widths):
    for width, seeds in seeds_of_widths.items():
        for seed in seeds:
            write(out_dir, Settings(width, 8, seed=seed))


@pytest.mark.parametrize(
    ("seeds_of_widths", "min_seeds", "expected"),
    [
        ({1: (0, 1, 2), 2: (0, 1, 2)}, 1, [0, 1, 2]),
        ({1: (0, 1, 2), 2: (0, 1)}, 1, [0, 1]),
        ({1: (0, 2), 2: (0, 2)}, 1, [0]),
        ({1: (0, 1, 2), 2: (0, 1, 2)}, 4, [0, 1, 2]),
    ],
)
def test_a_figure_has_the_seeds_that_are_finished(seeds_of_widths, min_seeds, expected, tmp_path):
    write_seeds(tmp_path, seeds_of_widths)
    found = find_runs(SEEDED, seeded_figure("1", "paper"), tmp_path)
    kept = finished_seeds(found, min_seeds)
    assert sorted((s.width, s.seed) for s, _ in kept) == [(w, seed) for w in (1, 2) for seed in expected]
    assert all(run for _, run in kept)


@pytest.mark.parametrize(
    ("seeds_of_widths", "min_seeds", "missing"),
    [
        ({1: (0, 1, 2), 2: (0,)}, 2, [(2, 1)]),
        ({1: (0, 1, 2), 2: (1, 2)}, 1, [(2, 0)]),
        ({}, 1, [(1, 0), (2, 0)]),
    ],
)
def test_a_figure_with_too_few_seeds_misses_those_it_needs(seeds_of_widths, min_seeds, missing, tmp_path):
    write_seeds(tmp_path, seeds_of_widths)
    found = find_runs(SEEDED, seeded_figure("1", "paper"), tmp_path)
    kept = finished_seeds(found, min_seeds)
    assert [(s.width, s.seed) for s, run in kept if run is None] == missing
    assert len(kept) == 2 * min_seeds


def test_a_claim_is_judged_on_finished_seeds_and_says_which(tmp_path):
    everything = claim(lambda evidence: Outcome("reproduced", f"{len(evidence.runs())} runs."))
    write_seeds(tmp_path, {1: (0, 1, 2), 2: (0, 1)})
    (judgement,) = claims.judge([everything], SEEDED, tmp_path)
    assert judgement.outcome.seen == (
        "4 runs. Seeds 0 and 1 alone: further seeds of the figure are not finished."
    )
    (judgement,) = claims.judge([dataclasses.replace(everything, confirmatory_from=1)], SEEDED, tmp_path)
    assert judgement.outcome.seen == "4 runs."  # such a check reads the seeds of its own cells
    needy = dataclasses.replace(SEEDED, min_seeds={"1": 3})
    assert claims.judge([everything], needy, tmp_path)[0].outcome.verdict == "not run"
    write_seeds(tmp_path, {2: (2,)})
    assert claims.judge([everything], needy, tmp_path)[0].outcome.seen == "6 runs."


def test_the_price_of_further_seeds_has_every_cell_that_was_read(tmp_path):
    """Also a cell of exploratory seeds alone where another has later ones; each goes on from its own."""
    write_seeds(tmp_path, {1: (0, 1, 2, 3), 2: (0,)})
    study = dataclasses.replace(TOY, estimate=lambda settings: 60.0 * settings.width)

    def check(evidence):
        values = [len(evidence.seeds(width=width)) for width in (1, 2)]
        return Outcome("open", str(values))

    (judgement,) = claims.judge([dataclasses.replace(claim(check), confirmatory_from=1)], study, tmp_path)
    assert judgement.seeds == (1, 2, 3) and judgement.outcome.seen.startswith("[3, 1]")
    priced = sorted((settings.width, settings.seed) for settings in judgement.needed)
    assert priced == [(1, 4), (1, 5), (1, 6), (2, 1), (2, 2), (2, 3)]
    assert judgement.minutes == 3 * 1 + 3 * 2


def test_one_confirmatory_seed_asks_for_two_more(tmp_path):
    write_seeds(tmp_path, {1: (0, 1)})
    opened = claim(lambda evidence: Outcome("open", str(len(evidence.seeds(width=1)))))
    (judgement,) = claims.judge([dataclasses.replace(opened, confirmatory_from=1)], TOY, tmp_path)
    assert sorted(settings.seed for settings in judgement.needed) == [2, 3]


@pytest.mark.parametrize(
    ("first", "seeds", "pilot"),
    [(0, (0, 1, 3), ()), (1, (1, 3), (0,)), (3, (3,), (0, 1)), (4, (0, 1, 3), ())],
)
def test_a_table_has_the_seeds_that_all_cells_have_and_later_ones_decide(first, seeds, pilot, tmp_path):
    for width, written in {1: (0, 1, 2, 3), 2: (0, 1, 3)}.items():
        for seed in written:
            write(tmp_path, Settings(width, 8, seed=seed), 10.0 * width + seed)
    evidence = claims.Evidence(TOY, ("1",), tmp_path, "paper", first)
    table = evidence.table([{"width": 1}, {"width": 2}], lambda run: run.rows.value[0])
    assert table.seeds == seeds
    np.testing.assert_array_equal(table.values, [[10 + s, 20 + s] for s in seeds])
    np.testing.assert_array_equal(table.pilot, np.reshape([[10 + s, 20 + s] for s in pilot], (len(pilot), 2)))


def test_an_open_claim_asks_for_the_seeds_that_decide_it_and_for_three_at_least(tmp_path):
    for width in (1, 2):
        write(tmp_path, Settings(width, 8, seed=0))
    for more, asked in ((9, 9), (1, 2), (None, 2)):
        check = lambda evidence, more=more: (evidence.run(width=1), Outcome("open", "", more=more))[1]  # noqa: E731
        (judgement,) = claims.judge([claim(check)], TOY, tmp_path)
        assert judgement.outcome.more == asked


def seeds_of(tmp_path, **seeds):
    """Records the seeds of widths at paper scale, w1=(0, 1) those of width 1."""
    for width, found in seeds.items():
        for seed in found:
            write(tmp_path, Settings(int(width[1:]), 8, seed=seed), 10.0 * int(width[1:]) + seed)


REPRODUCED = Outcome("reproduced", "It is.", p=0.01)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_part_that_has_exploratory_seeds_alone_leaves_the_claim_open(order, tmp_path):
    """Whichever part is read first; such a claim has no p value."""
    seeds_of(tmp_path, w1=(0, 1, 2, 3), w2=(0,))

    def check(evidence):
        for width in order:
            evidence.seeds(width=width)
        return REPRODUCED

    (found,) = claims.judge([dataclasses.replace(claim(check), confirmatory_from=1)], TOY, tmp_path)
    assert found.outcome.verdict == "open" and np.isnan(found.outcome.p)
    assert claims.q_values([found]) == {}
    if order == (2, 1):
        assert sorted(run.seed for run in found.runs) == [1, 2, 3]


def test_what_is_missing_of_a_claim_that_nothing_was_run_for(tmp_path):
    (found,) = claims.judge([claim(lambda evidence: evidence.run(width=1))], TOY, tmp_path)
    assert found.outcome.seen == "0 of the 2 runs of figure 1 at laptop scale are finished."


def test_a_claim_out_of_reach_has_no_p_value(tmp_path):
    seeds_of(tmp_path, w1=(0,))

    def check(evidence):
        evidence.run(width=1)
        return REPRODUCED

    given = dataclasses.replace(claim(check), out_of_reach={"paper": "why"})
    (found,) = claims.judge([given], TOY, tmp_path)
    assert found.outcome.verdict == "out of reach" and np.isnan(found.outcome.p)
    assert claims.q_values([found]) == {}


def test_a_run_that_diverged_has_no_value(tmp_path):
    with run_folder(TOY, Settings(1, 8), tmp_path) as folder:
        folder.start({})
        folder.finish("diverged", [{"metric": "m", "value": 7.0, "statistic": "mean"}], None)
    table = claims.Evidence(TOY, ("1",), tmp_path, "paper").table([{"width": 1}], lambda r: r.rows.value[0])
    assert np.isnan(table.values).tolist() == [[True]]


def test_the_price_of_a_claim_that_was_not_run(tmp_path):
    """A pilot and three seeds of each width, a minute for width 1 and two for width 2."""
    priced = dataclasses.replace(TOY, estimate=lambda settings: 60.0 * settings.width)
    given = dataclasses.replace(claim(lambda evidence: evidence.run(width=1)), confirmatory_from=1)
    (found,) = claims.judge([given], priced, tmp_path)
    assert found.minutes == (1 + 3) * (1 + 2)


def test_the_first_seed_that_decides_is_one_of_the_deciding(tmp_path):
    seeds_of(tmp_path, w1=(0, 3))
    assert claims.Evidence(TOY, ("1",), tmp_path, "paper", 3).deciding_seeds() == {3}


def test_several_figures_need_the_seeds_of_the_one_that_needs_most(tmp_path):
    def two_seeds(name, scale):
        return [dataclasses.replace(s, seed=seed) for s in runs_of_figure(name, scale) for seed in (0, 1)]

    study = dataclasses.replace(TOY, figures=("1", "2"), runs_of_figure=two_seeds, min_seeds={"2": 2})
    seeds_of(tmp_path, w1=(0,), w2=(0,))
    assert claims.Evidence(study, ("1", "2"), tmp_path, "paper").state.startswith("2 of the 4 runs")


def test_seeds_that_decide_are_found_without_those_before_them(tmp_path):
    for seed in (0, 8, 9, 10):
        write(tmp_path, Settings(1, 8, seed=seed), float(seed))
    evidence = claims.Evidence(TOY, ("1",), tmp_path, "paper", 8)
    assert evidence.table([{"width": 1}], lambda run: 1.0).seeds == (8, 9, 10)
    assert not evidence.is_exploratory


def test_a_price_has_no_runs_that_are_finished(tmp_path):
    for seed in (0, 1):
        write(tmp_path, Settings(1, 8, seed=seed))
    write(tmp_path, Settings(2, 8, seed=1))
    evidence = claims.Evidence(TOY, ("1",), tmp_path, "paper", 1)
    missing = evidence.missing_runs(first=1)
    assert sorted((s.width, s.seed) for s in missing) == [(1, 2), (1, 3), (2, 0), (2, 2), (2, 3)]
    evidence.seeds(width=1)
    assert sorted(s.seed for s in evidence.further_runs(2)) == [2, 3]
    write(tmp_path, Settings(1, 8, seed=2))
    assert sorted(s.seed for s in evidence.further_runs(2)) == [3]


def test_copies_of_one_data_set_do_not_decide_together(tmp_path):
    def both(evidence):
        found = {evidence.run(width=width).record["data"] for width in (1, 2)}
        return Outcome("reproduced", f"{len(found)}", p=0.01)

    images = dataclasses.make_dataclass("Images", [("dataset", str, "toy")], bases=(Settings,), frozen=True)
    study = dataclasses.replace(
        TOY,
        settings=images,
        runs_of_figure=lambda name, scale: [images(s.width, s.examples) for s in runs_of_figure(name, scale)],
    )
    for width, title in ((1, "toy"), (2, "toy (copy)")):
        with run_folder(study, images(width, 8), tmp_path) as folder:
            folder.start({}, title)
            folder.finish("done", [{"metric": "m", "value": 1.0, "statistic": "mean"}], None)
    (judgement,) = claims.judge([claim(both)], study, tmp_path)
    assert judgement.outcome.verdict == "open" and np.isnan(judgement.outcome.p)
    assert "Runs on toy and toy (copy) do not count together." in judgement.outcome.seen
