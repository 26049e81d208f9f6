import json

import pytest

from common.cluster import Worker, current_worker, step_ports
from common.errors import UserError


def test_workers_share_out_every_item_once():
    shares = [Worker(i, 3).share(range(8)) for i in range(3)]
    assert shares == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert [Worker(i, 3).chief for i in range(3)] == [True, False, False]


def place(monkeypatch, cluster, kind, index):
    config = {"cluster": cluster, "task": {"type": kind, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    return current_worker("multi_worker")


WORKERS = {"worker": ["a:1", "b:1"]}
CHIEF_AND_WORKERS = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "expected"),
    [
        (WORKERS, "worker", 0, Worker(0, 2)),
        (WORKERS, "worker", 1, Worker(1, 2)),
        (WORKERS, "worker", "1", Worker(1, 2)),
        (CHIEF_AND_WORKERS, "chief", 0, Worker(0, 3)),
        (CHIEF_AND_WORKERS, "worker", 0, Worker(1, 3)),
        (CHIEF_AND_WORKERS, "worker", 1, Worker(2, 3)),
        ({"chief": ["a:1"]}, "chief", 0, Worker(0, 1)),
    ],
)
def test_place_comes_from_tf_config(monkeypatch, cluster, kind, index, expected):
    assert place(monkeypatch, cluster, kind, index) == expected
    assert current_worker("auto") == Worker(0, 1)


@pytest.mark.parametrize("cluster", [WORKERS, CHIEF_AND_WORKERS])
def test_there_is_one_chief_and_every_place_is_taken(monkeypatch, cluster):
    tasks = [(kind, index) for kind in cluster for index in range(len(cluster[kind]))]
    found = [place(monkeypatch, cluster, *task) for task in tasks]
    assert sorted(worker.index for worker in found) == list(range(len(tasks)))
    assert sum(worker.chief for worker in found) == 1


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "words"),
    [
        (WORKERS, "worker", 2, "the place of worker 2, which its cluster does not have"),
        (WORKERS, "worker", -1, "the place of worker -1"),
        (WORKERS, "chief", 0, "the place of chief 0"),
        (CHIEF_AND_WORKERS, "chief", 1, "the place of chief 1"),
        ({"chief": ["a:1", "b:1"]}, "chief", 0, "has 2 chiefs"),
        (WORKERS, "ps", 0, "names 'ps'; only a chief and workers train"),
        (WORKERS | {"ps": ["p:1"]}, "worker", 0, "names 'ps'; only a chief and workers train"),
        (WORKERS, "evaluator", 0, "names 'evaluator'"),
        ({"worker": {"0": "a:1"}}, "worker", 0, "names no cluster"),
        ({"worker": "a:1"}, "worker", 0, "names no cluster"),
        (["a:1"], "worker", 0, "names no cluster"),
        (WORKERS, "worker", "first", "names no cluster"),
        (WORKERS, "worker", float("inf"), "names no cluster"),
        (WORKERS, ["worker"], 0, "only a chief and workers train"),
    ],
)
def test_what_no_program_can_use_is_refused(monkeypatch, cluster, kind, index, words):
    with pytest.raises(UserError, match=f"^--strategy=multi_worker: TF_CONFIG .*{words}"):
        place(monkeypatch, cluster, kind, index)


@pytest.mark.parametrize("config", [None, "", "not json", "{}", "[]", '{"cluster": {"worker": ["a:1"]}}'])
def test_text_that_is_no_configuration_is_refused(config, monkeypatch):
    if config is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match="TF_CONFIG"):
        current_worker("multi_worker")


def test_steps_that_may_run_on_one_node_have_ports_of_their_own(monkeypatch):
    found = set()
    for job in range(4000, 4020):
        for step in range(20):
            monkeypatch.setenv("SLURM_JOB_ID", str(job))
            monkeypatch.setenv("SLURM_STEP_ID", str(step))
            found.add(step_ports())
    assert len(found) == 20 * 20 and min(found) >= 10_000 and max(found) + 16 <= 30_000
    assert all(port % 16 == min(found) % 16 for port in found)  # none begins among those of another
