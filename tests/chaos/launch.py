"""`python -m tests.chaos.launch MODULE [--flag=value ...]`: a program that keeps every checkpoint it could.

Otherwise it is the program: the constants are changed once it has imported TensorFlow by itself.
"""

import runpy
import sys

from common.study import startup

_import_quietly = startup.import_quietly


def import_impatiently(module):
    """Imports an experiment and lets no time pass between its checkpoints."""
    found = _import_quietly(module)
    for name in ("common.training.fit", "replications.snapp_shamir.experiment"):
        if name in sys.modules:
            sys.modules[name]._CHECKPOINT_SECONDS = -1
    return found


if __name__ == "__main__":
    startup.import_quietly = import_impatiently
    module, sys.argv = sys.argv[1], sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
