from common.distribution import ensemble_devices


def test_one_device_is_one_device():
    assert ensemble_devices("one_device") == ["/CPU:0"]
