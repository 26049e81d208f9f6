import keras
import pytest

from common.training.optimizers import build_optimizer


def test_optimizers_have_the_constants_of_pytorch():
    adam, sgd = build_optimizer("adam", 0.1), build_optimizer("sgd", 0.1)
    assert (type(adam), adam.beta_1, adam.beta_2, adam.epsilon) == (keras.optimizers.Adam, 0.9, 0.999, 1e-8)
    assert (type(sgd), sgd.momentum, sgd.nesterov) == (keras.optimizers.SGD, 0.9, False)


@pytest.mark.parametrize("name", ["Adam", "adamw", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match='must be "sgd" or "adam"'):
        build_optimizer(name)
