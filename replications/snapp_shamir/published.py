"""What Snapp & Shamir 2021 print: the names of activations and optimizers in their legends."""

ACTIVATION_NAMES = {"identity": "identity", "relu": "ReLU", "smelu": "SmeLU", "swish": "Swish"}
OPTIMIZER_NAMES = {"adagrad": "AdaGrad", "sgd": "SGD"}
