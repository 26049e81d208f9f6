import json

import pytest

from common.distribution import Worker, current_worker, ensemble_devices
from common.errors import UserError


def test_workers_share_out_every_item_once():
    shares = [Worker(i, 3).share(range(8)) for i in range(3)]
    assert shares == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert [Worker(i, 3).chief for i in range(3)] == [True, False, False]


def test_place_comes_from_tf_config(monkeypatch):
    cluster = {"worker": ["a:1", "b:1"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 1}}))
    assert current_worker("multi_worker") == Worker(1, 2)
    assert current_worker("auto") == Worker(0, 1)


@pytest.mark.parametrize(
    "config",
    [
        None,
        "not json",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
    ],
)
def test_unusable_tf_config_is_refused(config, monkeypatch):
    if config is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match="TF_CONFIG"):
        current_worker("multi_worker")


def test_one_device_is_one_device():
    assert ensemble_devices("one_device") == ["/CPU:0"]
