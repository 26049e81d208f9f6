"""The page docs/own_models.md and the notebook do what they say."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE, NOTEBOOK = ROOT / "docs" / "own_models.md", ROOT / "examples" / "first_look.ipynb"


def snippets(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def installed(tmp_path):
    """A folder with the records, and the environment of somebody who has installed the library."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "irreproducibility").symlink_to(ROOT / "common")
    (tmp_path / "results").symlink_to(ROOT / "results")
    environment = {"PYTHONPATH": str(tmp_path / "library"), "MPLBACKEND": "agg", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return tmp_path, os.environ | environment


@pytest.mark.slow  # as long as the notebook below
def test_every_snippet_of_the_page_runs(installed):
    """One after the other in one process, as a reader would."""
    folder, environment = installed
    code = snippets(PAGE)
    assert len(code) >= 8
    (folder / "page.py").write_text("\n".join(code))
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / "prediction_difference.png").stat().st_size > 5000
    printed = done.stdout
    churn, low, high = map(float, re.search(r"churn (\S+) \[(\S+), (\S+)\]", printed).groups())
    assert 0 <= low <= churn <= high < 0.5
    agreement = float(re.search(r"([\d.]+) of the points get one class", printed)[1])
    assert 0.5 < agreement <= 1
    of_metric = float(re.search(r"'relative_prediction_difference': ([\d.]+)}", printed)[1])
    of_function = float(printed.split("}")[-1].split()[0])
    assert of_metric == pytest.approx(of_function, rel=1e-3)


@pytest.mark.slow
def test_the_snippets_of_the_readme_run(installed):
    """Each in a process of its own: the second is of the clone, not of the installed library."""
    folder, environment = installed
    code = snippets(ROOT / "README.md")
    assert len(code) == 2
    for snippet, path in zip(code, (environment["PYTHONPATH"], str(ROOT)), strict=True):
        subprocess.run(
            [sys.executable, "-c", snippet],
            cwd=folder,
            env=environment | {"PYTHONPATH": path},
            check=True,
            timeout=600,
        )


@pytest.mark.slow
def test_the_notebook_runs(installed):
    """In a kernel that has the library; its first cell then installs nothing."""
    import nbformat
    from nbclient import NotebookClient

    folder, environment = installed
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    del environment["MPLBACKEND"]  # the kernel has its own
    client.execute(env=environment)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" for output in outputs)


def test_the_notebook_is_stored_with_its_outputs():
    """GitHub shows what is stored; no cell has the paths or the noise of somebody's machine."""
    import json

    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    text = json.dumps([cell["outputs"] for cell in code])
    assert "image/png" in text and "stderr" not in text


def test_the_page_of_the_comparison_defines_every_measure_as_the_program_does():
    from common.disagreement import MEASURES

    page = (ROOT / "docs" / "compare.md").read_text()
    for name, measure in MEASURES.items():
        assert f"| `{name}` | {measure.definition} |" in page
