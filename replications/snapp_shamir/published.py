"""What Snapp & Shamir 2021 print: the names of activations and optimizers in their legends."""

ACTIVATION_NAMES = {"identity": "identity", "relu": "ReLU", "smelu": "SmeLU", "swish": "Swish"}
SMOOTH = ("smelu", "swish")  # with a beta; layers of `common.layers.activations`
OPTIMIZER_NAMES = {"adagrad": "AdaGrad", "sgd": "SGD"}
