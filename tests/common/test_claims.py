import dataclasses

import pytest

from common import claims, program
from common.claims import Claim
from common.verdicts import Outcome


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
