import dataclasses
import subprocess
import sys
import types

import pytest

from common.errors import UserError
from common.study.command_line import SCALES
from common.study.runs import load_study, study_names
from figures import drawing, style
from figures.drawing import PaperFigures
from figures.pages import figures_of


def _picture(runs):
    figure = style.new_figure(3, 2, "title")
    figure.subplots().plot([len(run.rows) for _, run in runs])
    return figure


@pytest.fixture
def paper_figures():
    return PaperFigures(
        "snapp_shamir", {"4": _picture, "7": _picture}, lambda name, settings: f"{len(settings)} runs"
    )


@pytest.fixture
def write_figure(write_run, paper):
    """Writes the records of a figure: all runs, or those of a slice."""

    def write(records, scale, part=slice(None), name="4", **changes):
        for settings in paper.runs_of_figure(name, scale)[part]:
            settings = dataclasses.replace(settings, **changes)
            write_run(records, settings, [1e-3] * settings.pairs)

    return write


def _run(paper_figures, capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        drawing.main(paper_figures, ["figures", *arguments])
    return stopped.value.code, capsys.readouterr().err


def test_the_largest_complete_scale_is_chosen(paper_figures, write_figure, tmp_path):
    write_figure(tmp_path, "smoke")
    write_figure(tmp_path, "laptop")
    write_figure(tmp_path, "paper", slice(1))
    scale, runs = drawing.choose(paper_figures, "4", str(tmp_path))
    assert scale == "laptop"
    assert [settings.shuffle_log2 for settings, _ in runs] == [0, 16]
    assert drawing.choose(paper_figures, "4", str(tmp_path), "smoke")[0] == "smoke"


def test_a_scale_that_is_asked_for_must_be_complete(paper_figures, write_figure, tmp_path):
    write_figure(tmp_path, "smoke")
    write_figure(tmp_path, "paper", slice(1))
    with pytest.raises(UserError) as error:
        drawing.choose(paper_figures, "4", str(tmp_path), "paper")
    assert str(error.value) == (
        f"figure 4 at paper scale: 1 of 2 runs are missing in {tmp_path} (shuffle_log2=20); "
        f"`python -m replications.snapp_shamir --figure=4 --scale=paper --out_dir={tmp_path}` makes them"
    )


def test_missing_records_exit_2_with_one_line(paper_figures, capsys, tmp_path):
    status, error = _run(
        paper_figures, capsys, "--figure=4", f"--records={tmp_path}", f"--out_dir={tmp_path}/out"
    )
    assert status == 2
    assert error.count("\n") == 1
    assert "2 of 2 runs are missing" in error
    assert "`python -m replications.snapp_shamir --figure=4 --scale=laptop" in error
    assert not (tmp_path / "out").exists()


def test_the_command_names_no_folder_where_runs_go_by_default(paper_figures, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--figure=4 --scale=laptop` makes them"):
        drawing.choose(paper_figures, "4", drawing.RECORDS)


def test_many_missing_runs_are_counted(paper_figures, tmp_path):
    with pytest.raises(UserError, match="50 of 50 runs .*; and 47 more"):
        drawing.choose(paper_figures, "2", str(tmp_path), "paper")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--figure=5"], "--figure=5"),
        (["--scale=huge"], "--scale=huge"),
        (["4"], "unexpected argument '4'"),
        (["--records={file}"], "is a file"),
        (["--records={records}", "--out_dir={file}/out"], "--out_dir"),
    ],
)
def test_bad_input_exits_2_with_one_line(paper_figures, write_figure, capsys, tmp_path, arguments, words):
    (tmp_path / "file").touch()
    write_figure(tmp_path / "records", "smoke")
    arguments = [a.format(file=tmp_path / "file", records=tmp_path / "records") for a in arguments]
    status, error = _run(paper_figures, capsys, *arguments)
    assert status == 2
    assert error.count("\n") == 1
    assert words in error


def test_pictures_are_the_same_bytes_again(paper_figures, write_figure, tmp_path):
    write_figure(tmp_path, "smoke")
    first, again = (drawing.draw(paper_figures, "4", str(tmp_path), None, tmp_path / out) for out in "ab")
    assert [path.name for path in first] == ["snapp_shamir_figure_4.png", "snapp_shamir_figure_4.pdf"]
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert b"CreationDate" not in first[1].read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in first)


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_a_picture_says_how_large_its_runs_are(paper_figures, write_figure, tmp_path, scale):
    drawn = []

    def picture(runs):
        drawn.append(_picture(runs))
        return drawn[-1]

    write_figure(tmp_path, scale)
    drawing.draw(
        dataclasses.replace(paper_figures, figures={"4": picture}), "4", str(tmp_path), None, tmp_path
    )
    assert drawn[0].get_suptitle() == f"title\n{scale}\N{NO-BREAK SPACE}scale: 2\N{NO-BREAK SPACE}runs"


def test_a_changed_figure_is_drawn_from_the_runs_of_the_same_flag(
    paper_figures, write_figure, capsys, tmp_path
):
    drawn = []

    def picture(runs):
        drawn.append((_picture(runs), {settings.learning_rate for settings, _ in runs}))
        return drawn[-1][0]

    paper_figures = dataclasses.replace(paper_figures, figures={"4": picture})
    write_figure(tmp_path, "smoke")
    arguments = ["--figure=4", "--learning_rate=0.5", f"--records={tmp_path}", f"--out_dir={tmp_path}"]
    status, error = _run(paper_figures, capsys, *arguments)
    assert status == 2
    assert f"--figure=4 --scale=laptop --learning_rate=0.5 --out_dir={tmp_path}` makes them" in error
    write_figure(tmp_path, "smoke", learning_rate=0.5)
    drawing.main(paper_figures, ["figures", *arguments])
    assert (tmp_path / "snapp_shamir_figure_4_learning_rate_0.5.png").exists()
    ((figure, rates),) = drawn
    assert rates == {0.5}
    title = figure.get_suptitle().replace("\N{NO-BREAK SPACE}", " ")
    assert title == "title\nchanged: learning_rate 0.5\nsmoke scale: 2 runs"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shuffle_log2": 3}, "--shuffle_log2=3: figure 4 compares runs by this setting"),
        (
            {"warm_start_learning_rate": 0.1},
            "--warm_start_learning_rate: no run of figure 4",
        ),
        ({"pairs": 0}, "--pairs=0: must be"),
        ({"learning_rate": 0.5}, "figure 4 cannot be drawn with --learning_rate=0.5: it shows other runs"),
    ],
)
def test_a_change_that_a_figure_does_not_bear_is_refused(
    paper_figures, write_figure, tmp_path, changes, words
):
    write_figure(tmp_path, "smoke", learning_rate=0.5)
    paper_figures = dataclasses.replace(
        paper_figures, figures={"4": lambda runs: {}[runs[0][0].learning_rate]}
    )
    with pytest.raises(UserError) as error:
        drawing.draw(paper_figures.changed(changes), "4", str(tmp_path), "smoke", tmp_path)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize(
    "changes",
    [{"activation": "smelu", "beta": 0.5}, {"warm_start": True, "warm_start_learning_rate": 0.05}],
)
def test_changes_that_need_each_other_go_together(paper_figures, changes):
    for settings in paper_figures.changed(changes).settings("4", "smoke"):
        assert {name: getattr(settings, name) for name in changes} == changes


def test_a_change_to_what_a_figure_has_already_is_none(paper_figures, write_figure, tmp_path):
    write_figure(tmp_path, "smoke", learning_rate=0.5)
    (preset, *_) = paper_figures.settings("4", "smoke")
    changes = {"pairs": preset.pairs, "learning_rate": 0.5}
    paths = drawing.draw(paper_figures.changed(changes), "4", str(tmp_path), "smoke", tmp_path)
    assert [path.stem for path in paths] == ["snapp_shamir_figure_4_learning_rate_0.5"] * 2


def test_of_several_changes_the_one_that_a_figure_does_not_bear_is_named(paper_figures):
    with pytest.raises(UserError, match="^--shuffle_log2=3: figure 4 compares runs"):
        paper_figures.changed({"learning_rate": 0.5, "shuffle_log2": 3}).settings("4", "smoke")


def test_a_seed_that_the_preset_has_is_no_further_one(tmp_path, monkeypatch):
    study = load_study("smooth_interpolation")
    seeds = {s.resolve().seed for s in study.runs_of_figure("pd", "smoke")}
    assert seeds == {0, 1}
    monkeypatch.setattr(drawing, "find_runs", lambda paper, settings, records: [(s, True) for s in settings])
    monkeypatch.setattr(drawing, "finished_seeds", lambda found, min_seeds: found)
    runs = PaperFigures("smooth_interpolation", {}, len, num_seeds=3).runs("pd", "smoke", tmp_path)
    assert len(runs) == len({settings for settings, _ in runs})
    assert {settings.seed for settings, _ in runs} == {0, 1, 2, 3}


def test_a_seed_that_is_asked_for_is_shown_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "find_runs", lambda study, found, records: [(s, object()) for s in found])
    figures = PaperFigures("zhang_randomization", {}, len, num_seeds=5)
    assert {settings.seed for settings, _ in figures.runs("2a", "smoke", tmp_path)} == {0, 1, 2, 3, 4}
    runs = figures.changed({"seed": 3}).runs("2a", "smoke", tmp_path)
    assert {settings.seed for settings, _ in runs} == {3}


def test_a_picture_has_one_value_of_a_setting(paper_figures, capsys):
    status, error = _run(paper_figures, capsys, "--figure=4", "--learning_rate=0.1,0.5")
    assert status == 2
    assert error == "figures.snapp_shamir: --learning_rate=0.1,0.5: a picture takes one value\n"


def test_all_draws_what_has_records_and_names_the_rest(paper_figures, write_figure, capsys, tmp_path):
    write_figure(tmp_path, "smoke")
    drawing.main(paper_figures, ["figures", f"--records={tmp_path}", f"--out_dir={tmp_path}"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("not drawn: figure 7 at laptop scale: 4 of 4 runs are missing")
    assert lines[1:] == [f"{tmp_path}/snapp_shamir_figure_4.png", f"{tmp_path}/snapp_shamir_figure_4.pdf"]


def test_all_goes_on_after_a_picture_that_cannot_be_drawn(paper_figures, write_figure, capsys, tmp_path):
    def refuse(runs):
        raise UserError("figure 7: all of its runs diverged")

    paper_figures = dataclasses.replace(paper_figures, figures={"7": refuse, "4": _picture})
    write_figure(tmp_path, "smoke")
    write_figure(tmp_path, "smoke", name="7")
    drawing.main(paper_figures, ["figures", f"--records={tmp_path}", f"--out_dir={tmp_path}"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "not drawn: figure 7: all of its runs diverged"
    assert len(lines) == 3


def test_a_figure_whose_runs_all_diverged_is_one_line(paper_figures, paper, tmp_path):
    runs = [(s.resolve(), types.SimpleNamespace(diverged=True)) for s in paper.runs_of_figure("4", "smoke")]
    with pytest.raises(UserError, match="^figure 4: all of its 2 runs diverged$"):
        drawing.draw_runs(paper_figures, "4", "smoke", runs, tmp_path)


def test_all_without_records_exits_2(paper_figures, capsys, tmp_path):
    status, error = _run(paper_figures, capsys, f"--records={tmp_path}")
    assert status == 2
    assert "no figure could be drawn" in error


def test_drawing_does_not_load_tensorflow():
    code = "import sys, figures.snapp_shamir; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", study_names())
def test_every_figure_says_how_large_its_runs_are_at_every_scale(name):
    figures = figures_of(name)
    for figure in load_study(name).figures:
        for scale in SCALES:
            assert "seed" in figures.size(figure, figures.settings(figure, scale)), (figure, scale)
