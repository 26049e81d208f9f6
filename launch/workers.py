"""`python -m launch.workers --workers=2 -- python -m replications.NAME --strategy=multi_worker ...`.

Starts the same command as several workers on this machine, each with its place in TF_CONFIG, and ends all
when one dies. The chief, which writes the records, speaks for all; what the others say has their name before.

On Slurm the workers are the tasks of a step, and their cluster comes from the job: `srun` takes the place of
this program (docs/launch.md has the sbatch file).
"""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("workers")  # also while the rest is imported

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from absl import flags

from common.cluster import in_tf_config
from common.errors import UserError
from common.gpus import gpu_environment, visible_gpus
from common.study import command_line, program
from common.study.runs import load_study, study_names, unfinished
from launch.children import preparation

_USAGE = "python -m launch.workers --workers=N [--chief] -- python -m PROGRAM --strategy=multi_worker ..."
_POLL_SECONDS, _PATIENCE_SECONDS = 0.1, 15
_MAX_WORKERS = 256


def cluster_configs(count: int, chief: bool) -> list[dict]:
    """Returns the TF_CONFIG of each of `count` processes of this machine, the chief's first.

    Args:
        count: How many.
        chief: Whether the first has the name "chief"; else it is worker 0. tf.distribute knows both.
    """
    with contextlib.ExitStack() as stack:
        # Held together, so that all differ; nobody holds them until TensorFlow does.
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        addresses = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    places = [("worker", i) for i in range(count)]
    cluster = {"worker": addresses}
    if chief:
        places = [("chief", 0), *places[:-1]]
        cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    return [{"cluster": cluster, "task": {"type": kind, "index": index}} for kind, index in places]


def name_of(config: dict) -> str:
    """Returns what a worker is called: "worker 1"."""
    return f"{config['task']['type']} {config['task']['index']}".replace("chief 0", "the chief")


class Workers:
    """The processes of a cluster on this machine.

    Args:
        command: What each runs.
        configs: Its TF_CONFIG.
        gpus: The GPUs of the machine, of which each gets its share; none leaves its environment as it is.
    """

    def __init__(self, command: Sequence[str], configs: Sequence[dict], gpus: Sequence[str] = ()) -> None:
        self._names = [name_of(config) for config in configs]
        self._processes: list[subprocess.Popen] = []
        self._readers: list[threading.Thread] = []
        try:
            for i, config in enumerate(configs):
                environment = dict(os.environ) | {"TF_CONFIG": json.dumps(config)}
                if gpus:
                    environment |= gpu_environment(tuple(gpus[i :: len(configs)]))
                self._start(command, environment)
        except OSError:
            self.stop()
            raise

    def _start(self, command, environment):
        is_chief = not self._processes
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=None if is_chief else subprocess.PIPE,
            stderr=None if is_chief else subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
            # Ctrl-C on the terminal reaches this program alone, which ends them in order.
            start_new_session=True,
            preexec_fn=preparation(),
        )
        if not is_chief:
            name = self._names[len(self._processes)]
            self._readers.append(threading.Thread(target=_copy, args=(process.stdout, name), daemon=True))
            self._readers[-1].start()
        self._processes.append(process)

    def wait(self) -> tuple[str, int] | None:
        """Waits until all have ended, or one has failed.

        Returns:
            None if all have finished; else the name of the first that failed, and its status.

        Raises:
            KeyboardInterrupt: A signal came.
        """
        while True:
            statuses = [process.poll() for process in self._processes]
            for name, status in zip(self._names, statuses, strict=True):
                if status:
                    return name, status
            if all(status == 0 for status in statuses):
                return None
            interruption.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ends those that still run: they are told to, and killed if they wait for one that is gone."""
        for process in self._processes:
            if process.poll() is None:
                _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, deadline - time.monotonic()))
            if process.poll() is None:
                _signal(process, signal.SIGKILL)
                process.wait()
        for reader in self._readers:
            reader.join(1)


def _copy(stream, name):
    for line in stream:
        sys.stderr.write(f"[{name}] {line}")
        sys.stderr.flush()


def _signal(process, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _ending(status):
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _define_flags(flag_values):
    flags.DEFINE_integer(
        "workers",
        2,
        "Number of processes, the chief among them.",
        lower_bound=1,
        upper_bound=_MAX_WORKERS,
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "chief",
        False,
        "Calls the first process chief and the others workers: the other of the two legal layouts.",
        flag_values=flag_values,
    )


def _split(argv):
    """The flags of this program, and the command after `--`."""
    if "--" not in argv and command_line.asks_about_program(argv):
        return argv, []
    if "--" not in argv or argv[-1] == "--":
        raise UserError(f"names no command to run after --; {_USAGE}")
    place = argv.index("--")
    own, command = argv[:place], argv[place + 1 :]
    if "--strategy=multi_worker" not in command and "--strategy multi_worker" not in " ".join(command):
        raise UserError("the command must have --strategy=multi_worker: without it every worker trains alone")
    return own, command


def _check_command(command):
    """Refuses what every worker would fail at, if the command is a replication.

    Returns:
        Whether the workers may use GPUs.
    """
    place = command.index("-m") + 1 if "-m" in command else len(command)
    name = command[place].removeprefix("replications.") if place < len(command) else ""
    if name not in study_names():
        return True
    study, flag_values = load_study(name), flags.FlagValues()
    command_line.define_flags(study, flag_values)
    command_line.parse_flags(flag_values, command[place:], _USAGE)
    runs = program.expand(study, flag_values)
    program.check_options(study, runs, flag_values)
    if study.images:
        program.check_data(unfinished(study, runs, flag_values.out_dir), flag_values)
    device = flag_values.device
    return device == "gpu" or (device == "auto" and any(map(study.takes_gpu, runs)))


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits with its status."""
    argv = sys.argv if argv is None else argv
    with command_line.exit_status("workers"):
        flag_values = flags.FlagValues()
        _define_flags(flag_values)
        own, command = _split(argv)
        command_line.parse_flags(flag_values, own, _USAGE)
        if flag_values.chief and flag_values.workers < 2:
            raise UserError("--chief: needs --workers=2 or more, a chief and a worker")
        if in_tf_config():
            raise UserError("TF_CONFIG is set: this process has a place in a cluster; unset it")
        configs = cluster_configs(flag_values.workers, flag_values.chief)
        os.environ["TF_CONFIG"] = json.dumps(configs[0])
        gpus = visible_gpus() if _check_command(command) else ()
        if 0 < len(gpus) < flag_values.workers:
            raise UserError(f"--workers={flag_values.workers}: this machine has {len(gpus)} GPUs")
        _run(command, configs, gpus)


def _run(command, configs, gpus):
    with interruption.deferred():
        try:
            workers = Workers(command, configs, gpus)
        except OSError as error:
            raise UserError(f"cannot start {command[0]}: {error.strerror}") from None
        try:
            failed = workers.wait()
        finally:
            workers.stop()
    if failed:
        name, status = failed
        print(
            f"workers: {name} {_ending(status)}, so all were ended; the same command goes on", file=sys.stderr
        )
        sys.exit(2 if status == 2 else 1)


if __name__ == "__main__":
    main()
