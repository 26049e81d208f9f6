"""Flags from a settings class, what they give, and how a program ends; loads no TensorFlow."""

import contextlib
import dataclasses
import errno
import math
import os
import shutil
import sys
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from .. import __version__
from ..errors import UserError
from . import environment, interruption

if TYPE_CHECKING:
    from .runs import Study
    from .setting import Value

SCALES = ("smoke", "laptop", "paper")
_MAX_TOGETHER = 1024
DEVICES = ("auto", "cpu", "gpu")
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Flags that say where and how a run happens, not what it computes."""

    out_dir: str
    strategy: str = "auto"
    tensorboard: bool = False
    data_dir: str | None = None
    download: bool = False
    device: str = "auto"
    together: int = 1


class _ListParser(flags.ArgumentParser):
    """Parses `0,5,10` into a tuple of values of one type."""

    def __init__(self, kind: type, choices: Sequence[str] | None) -> None:
        super().__init__()
        self.kind, self.choices = kind, choices
        names = {int: "a whole number", float: "a number", str: "a name"}
        self._wanted = f"one of {', '.join(choices)}" if choices else names[kind]

    def flag_type(self) -> str:
        """Returns what absl shows as the flag's type."""
        return f"list of {self.kind.__name__}"

    def parse(self, argument: str | tuple) -> tuple:
        """Returns a tuple of values."""
        if isinstance(argument, tuple):
            return argument
        texts = [text.strip() for text in argument.split(",")]
        if len(texts) > 1 and not all(texts):
            raise ValueError(f"{argument!r} has an empty place")
        return tuple(map(self._parse_one, texts))

    def _parse_one(self, text):
        try:
            value = self.kind(text)
        except ValueError:
            value = None
        if value is None or (self.choices and value not in self.choices):
            raise ValueError(f"{text!r} is not {self._wanted}")
        return value


class _SwitchParser(flags.BooleanParser):
    """Parses `1`, `false` or `1,0` into a tuple of booleans."""

    # absl allows a parser of lists, its types do not.
    def parse(self, argument: str | bool | tuple) -> tuple[bool, ...]:  # type: ignore[override]
        """Returns a tuple of booleans."""
        if isinstance(argument, tuple):
            return argument
        texts = argument.split(",") if isinstance(argument, str) else [str(argument)]
        return tuple(self._parse_one(text.strip()) for text in texts)

    def _parse_one(self, text):
        try:
            return super().parse(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is neither true nor false") from error


def _kind(settings, field):
    """The type of a settings field, without its None."""
    kind = typing.get_type_hints(settings)[field.name]
    if isinstance(kind, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    return kind


def define_setting_flags(study: "Study", flag_values: flags.FlagValues) -> None:
    """Defines a flag for every setting."""
    for field in dataclasses.fields(study.settings):
        kind, metadata = _kind(study.settings, field), field.metadata
        help = metadata["help"]
        if metadata["choices"]:
            help += f" One of {', '.join(metadata['choices'])}."
        if metadata["limits"]:
            help += f" Must be {metadata['limits']}."
        if field.default is not None and kind is not bool:
            help += f" Default: {field.default}."
        if kind is bool:
            flag = flags.Flag(_SwitchParser(), None, field.name, None, help, boolean=True)
            flags.DEFINE_flag(flag, flag_values)
        else:
            parser = _ListParser(kind, metadata["choices"])
            flags.DEFINE(parser, field.name, None, help, flag_values=flag_values)


def _define_device_flags(study, flag_values):
    flags.DEFINE_enum(
        "strategy",
        "auto",
        STRATEGIES,
        "Devices: auto and mirrored use all, one_device one, multi_worker its share of a cluster, which "
        "TF_CONFIG or a Slurm step names.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "device",
        "auto",
        DEVICES,
        "Kind of the devices: auto takes GPUs where there are any, but leaves small models of synthetic data "
        "on the CPU, where they are faster.",
        flag_values=flag_values,
    )
    if study.trains_together:
        names = " and ".join(f"--{name}" for name in study.trains_together)
        flags.DEFINE_integer(
            "together",
            1,
            f"How many runs that differ in {names} alone one ensemble trains; for GPUs, which the models of "
            "one run cannot fill. An unfinished run goes on with the same others.",
            lower_bound=1,
            upper_bound=_MAX_TOGETHER,
            flag_values=flag_values,
        )


def define_flags(study: "Study", flag_values: flags.FlagValues) -> None:
    """Defines a flag for every setting, and the shared flags."""
    define_setting_flags(study, flag_values)
    if study.images:
        flags.DEFINE_string(
            "data_dir",
            None,
            "Folder of the image data sets as tensorflow-datasets keeps them; by default its own, "
            "~/tensorflow_datasets or TFDS_DATA_DIR.",
            flag_values=flag_values,
        )
        flags.DEFINE_bool(
            "download",
            False,
            "Fetches and checks an image data set that is not there.",
            flag_values=flag_values,
        )
    figures = ", ".join(study.figures)
    flags.DEFINE_enum(
        "figure",
        None,
        study.figures,
        f"Runs the settings of one of the paper's figures ({figures}); any other flag overrides them.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "scale",
        "paper",
        SCALES,
        "Scale of the figure: the published protocol, or a smaller one that the record names.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "num_seeds",
        1,
        "How many consecutive seeds, from each seed of the settings on: with 3 a figure that has seeds 0 to "
        "2 gets 0 to 4.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "only",
        None,
        "Of the runs that the other flags ask for, those with these values of settings: "
        '--only="network=alexnet,inception seed=0", as a plan names them.',
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "out_dir", "results/runs", "Folder that holds the run folders.", flag_values=flag_values
    )
    _define_device_flags(study, flag_values)
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Only prints the settings, the runs and an estimate of the time they take.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "tensorboard", False, "Also writes TensorBoard scalars into the run folder.", flag_values=flag_values
    )


def flag_text(name: str, value: "Value") -> str:
    """Returns the argument that gives a setting a value: "--pairs=2", "--nomixup"."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value}"


def given_settings(study: "Study", flag_values: flags.FlagValues) -> dict[str, tuple]:
    """Returns the settings that flags give: name -> tuple of values."""
    values = {field.name: flag_values[field.name].value for field in dataclasses.fields(study.settings)}
    return {name: value for name, value in values.items() if value is not None}


def wanted_settings(study: "Study", flag_values: flags.FlagValues) -> dict[str, tuple]:
    """Returns the values of settings that --only asks for: name -> tuple of values, None where it says None.

    Raises:
        UserError: A word is not the name of a setting and values of it.
    """
    wanted: dict[str, tuple] = {}
    names = {field.name for field in dataclasses.fields(study.settings)}
    if flag_values.only is not None and not flag_values.only.strip():
        raise UserError("--only=: names no setting; leave the flag out for all runs")
    for word in (flag_values.only or "").split():
        name, _, text = word.partition("=")
        if name not in names or not text:
            raise UserError(
                f"--only={flag_values.only}: {word!r} is not a setting with its values, NAME=VALUE"
            )
        if name in wanted:
            raise UserError(f"--only={flag_values.only}: names {name} twice")
        try:
            values = [
                None if part == "None" else flag_values[name].parser.parse(part) for part in text.split(",")
            ]
        except ValueError as error:
            raise UserError(f"--only={flag_values.only}: {name}: {error}") from error
        wanted[name] = tuple(value if value is None else value[0] for value in values)
    return wanted


def given_options(flag_values: flags.FlagValues) -> RunOptions:
    """Returns the `RunOptions` that flags give."""
    names = [field.name for field in dataclasses.fields(RunOptions) if field.name in flag_values]
    given: dict[str, Any] = {name: flag_values[name].value for name in names}
    return RunOptions(**given)


_PIPE_STATUS = 141  # what a shell reports of a program that SIGPIPE has ended
_UNUSABLE_NAMES = (errno.ENAMETOOLONG, errno.ELOOP)


@contextlib.contextmanager
def exit_status(name: str, goes_on: bool = True) -> Iterator[None]:
    """Turns what may go wrong in a program into one line on standard error and its exit status.

    Args:
        name: Name of the program, at the head of its lines.
        goes_on: Whether the same command goes on with what was interrupted.
    """
    environment.complete_environment()
    same = "the same command goes on"
    try:
        with interruption.listening(name, goes_on):
            try:
                yield
            finally:
                sys.stdout.flush()
    except (UserError, flags.Error) as error:
        _end(f"{name}: {' '.join(str(error).split())}", 2)
    except BrokenPipeError:
        environment.close_standard_output()
        sys.exit(_PIPE_STATUS)
    except OSError as error:
        if error.errno in _UNUSABLE_NAMES:
            _end(f"{name}: {_shortened(error.filename)}: {error.strerror}", 2)
        _end(f"{name}: {error}" + f"; with that put right, {same}" * goes_on, 1)
    except MemoryError:
        _end(f"{name}: not enough memory" + f"; with more of it, {same}" * goes_on, 1)
    except KeyboardInterrupt:
        _end(interruption.last_line(name, goes_on), interruption.STATUS)


def _end(line: str, status: int) -> typing.NoReturn:
    # On a terminal the line takes the place of a ^C.
    print(("\r\x1b[K" if sys.stderr.isatty() else "") + line, file=sys.stderr)
    sys.exit(status)


def _shortened(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:60]}...{name[-10:]}"


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether a command line has --help in one of its spellings."""
    return any(argument in ("--help", "-help", "-h", "--helpfull") for argument in argv[1:])


def _asks_for_version(argv):
    return "--version" in argv[1:]


def asks_about_program(argv: Sequence[str]) -> bool:
    """Whether a command line asks for what `parse_flags` prints in place of a run: the help, the version."""
    return asks_for_help(argv) or _asks_for_version(argv)


_SHARED = (
    "figure",
    "scale",
    "num_seeds",
    "only",
    "out_dir",
    "data_dir",
    "download",
    "strategy",
    "dry_run",
    "tensorboard",
)


def help_text(flag_values: flags.FlagValues) -> str:
    """Returns what --help prints of the flags: a program's own first, then those that all papers share."""
    names = sorted(name for name in flag_values if name not in ("flagfile", "undefok"))
    shared = [name for name in _SHARED if name in names]
    groups = [[name for name in names if name not in shared], shared] if len(shared) > 2 else [names]
    return "\n\n".join("\n".join(_help_line(flag_values[name]) for name in group) for group in groups)


def _help_line(flag):
    value = "" if flag.boolean else "=..."
    default = f" Default: {flag.default}." if flag.default not in (None, [], False, "") else ""
    default = "" if "Default:" in flag.help or "by default" in flag.help else default
    width = max(100, min(130, shutil.get_terminal_size((110, 24)).columns))
    text = f"  --{'[no]' * flag.boolean}{flag.name}{value}  {flag.help}{default}"
    return textwrap.fill(text, width, subsequent_indent=" " * 6, break_on_hyphens=False)


def _is_utf8(text: str) -> bool:
    """Whether a word of the command line was UTF-8; TensorFlow can neither read nor write other names."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Flags that name a file or a folder.
_PLACES = ("out_dir", "data_dir", "records", "archive", "out", "data", "models")


def parse_flags(flag_values: flags.FlagValues, argv: Sequence[str], usage: str) -> None:
    """Parses a command line that consists of flags alone; --help prints them and exits.

    Raises:
        UserError or flags.Error: An argument is not a flag, or not a valid one.
    """
    if asks_for_help(argv):
        print(f"usage: {usage}\n\n{help_text(flag_values)}")
        sys.exit(0)
    if _asks_for_version(argv):
        print(f"irreproducibility {__version__}")
        sys.exit(0)
    for argument in argv[1:]:
        if not _is_utf8(argument):
            raise UserError(f"{argument!a}: is not UTF-8; choose another name")
    try:
        rest = flag_values(argv)
    except ValueError as error:  # of --noflag=1 absl has no error of its own
        raise UserError(str(error)) from error
    for name in flag_values:
        _check_flag(flag_values[name])
    _expand_places(flag_values)
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; every option is a flag, --name=value")


def _expand_places(flag_values):
    """Replaces the ~ that a shell leaves in --out_dir=~/runs."""
    for name in _PLACES:
        value = flag_values[name].value if name in flag_values else None
        if isinstance(value, str):
            flag_values[name].value = os.path.expanduser(value)
        elif value is not None:
            flag_values[name].value = [os.path.expanduser(one) for one in value]


def _check_flag(flag):
    """Refuses what absl lets pass."""
    if flag.present > 1:
        raise UserError(f"--{flag.name}: is given {flag.present} times, and all but the last would be lost")
    if isinstance(flag.value, float) and math.isnan(flag.value):
        raise UserError(f"--{flag.name}=nan: must be a finite number")
