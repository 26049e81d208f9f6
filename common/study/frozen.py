"""Checks that were frozen before the seeds that decide them were run.

`replications/<paper>/claims/frozen.json` holds for each claim with confirmatory seeds the digest of its
check, the commit at which it was frozen and the first seed that decides. A run counts only if that commit is
an ancestor of its own. `python -m launch.freeze` writes the file; a check that is edited afterwards needs a
new first seed.
"""

import ast
import functools
import hashlib
import inspect
import io
import json
import pathlib
import re
import textwrap
import tokenize
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .claims import Claim
from .runs import load_claims

_REPLICATIONS = pathlib.Path(__file__).parents[2] / "replications"


def digest_of(check: Callable) -> str:
    """Returns a digest of what a check does: its code and what it uses of its paper's package.

    Comments, docstrings, white space and the text of `@claim` do not count, nor do the tests of
    `common.study`, which are the same for all papers.
    """
    package = ".".join(check.__module__.split(".")[:2])
    found: dict[str, str] = {}
    _collect(check, package, found)
    text = "\n".join(f"{name}: {found[name]}" for name in sorted(found))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _collect(value: Any, package: str, found: dict[str, str]) -> None:
    """Adds the code of a function or class, and of all that it uses of the package."""
    value = inspect.unwrap(value) if callable(value) else value
    module = getattr(value, "__module__", None) or ""
    name = f"{module}.{getattr(value, '__qualname__', '')}"
    if not module.startswith(package) or name in found or _is_made(value):
        return
    found[name] = _code(value)
    for function in [value] if inspect.isfunction(value) else _methods(value):
        for used_name, used in _used(function, package):
            used = inspect.unwrap(used) if callable(used) else used
            if not (inspect.isfunction(used) or inspect.isclass(used)):
                found[used_name] = re.sub(r" at 0x\w+", "", repr(used))
            for inner in _functions_in(used):
                _collect(inner, package, found)


def _functions_in(value: Any) -> list[Any]:
    """The functions and classes that a value is or holds, as a partial application or a container may."""
    if isinstance(value, functools.partial):
        value = [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return [function for part in value for function in _functions_in(part)]
    value = inspect.unwrap(value) if callable(value) else value
    return [value] if inspect.isfunction(value) or inspect.isclass(value) else []


def _methods(value: type) -> list[types.FunctionType]:
    """The functions in a class that its source has, those of properties too."""
    members = (getattr(m, "fget", None) or getattr(m, "func", None) or m for m in vars(value).values())
    functions = [inspect.unwrap(m) for m in members if inspect.isfunction(m)]
    return [function for function in functions if not _is_made(function)]


def _is_made(value: Any) -> bool:
    """Whether a function was made by a dataclass: it has no source of its own."""
    return inspect.isfunction(value) and not pathlib.Path(value.__code__.co_filename).exists()


def _used(function: types.FunctionType, package: str) -> Iterable[tuple[str, Any]]:
    """(name, value) of what a function uses: globals, names of the package's modules, what it was made with.

    Of default arguments only those that have a name: the source has the others.
    """
    parameters = inspect.signature(function).parameters
    made_with = dict(inspect.getclosurevars(function).nonlocals)
    made_with |= {name: parameters[name].default for name in _named_defaults(function)}
    for name in sorted(made_with):
        yield f"{function.__module__}.{function.__qualname__}.{name}", made_with[name]
    names = _names(function.__code__) | _names_of_decorators(function)
    space = function.__globals__
    for name in sorted(names & space.keys()):
        value = space[name]
        if not inspect.ismodule(value):
            yield f"{function.__module__}.{name}", value
        elif value.__name__.startswith(package):
            for inner in sorted(names & vars(value).keys()):
                if not inspect.ismodule(vars(value)[inner]):  # their text has a path
                    yield f"{value.__name__}.{inner}", vars(value)[inner]


def _names(code: types.CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _named_defaults(function: types.FunctionType) -> set[str]:
    node = _definition(function)
    if not isinstance(node, ast.FunctionDef):
        return set()
    places, arguments = [*node.args.posonlyargs, *node.args.args], node.args
    pairs = list(zip(reversed(places), reversed(arguments.defaults), strict=False))
    pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d]
    return {a.arg for a, default in pairs if any(isinstance(n, ast.Name) for n in ast.walk(default))}


def _names_of_decorators(function: types.FunctionType) -> set[str]:
    nodes = (
        node
        for decorator in _decorators(function)
        if not _is_claim(decorator)
        for node in ast.walk(decorator)
    )
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _is_claim(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).startswith("claim(")


def _definition(value: Any) -> ast.stmt:
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def _decorators(value: Any) -> list[ast.expr]:
    node = _definition(value)
    return node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else []


def _code(value: Any) -> str:
    """The source of a function or class in one line, without docstring, comments and `@claim`.

    Behind it stands how deep each statement is nested, which white space said.
    """
    source = textwrap.dedent(inspect.getsource(value))
    node = _definition(value)
    left_out: list[ast.AST] = [d for d in _decorators(value) if _is_claim(d)]
    left_out += [
        statement
        for statement in getattr(node, "body", [])
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    ]
    gone = {line for part in left_out for line in range(part.lineno, part.end_lineno + 1)}  # type: ignore[attr-defined]
    lines = [line for i, line in enumerate(_without_comments(source), 1) if i not in gone]
    return f"{' '.join(' '.join(lines).split())} {_depths(node)}"


def _without_comments(source: str) -> list[str]:
    """The lines of a source, each up to its comment."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return lines


def _depths(node: ast.AST, depth: int = 0) -> str:
    """How deep each statement below a node is nested, in order, without texts that stand for themselves."""
    found = ""
    for child in ast.iter_child_nodes(node):
        is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        is_statement = isinstance(child, ast.stmt) and not is_text
        found += f"{depth}" * is_statement + _depths(child, depth + is_statement)
    return found


def frozen_file(study: str) -> pathlib.Path:
    """Returns the path of a paper's file of frozen checks."""
    return _REPLICATIONS / study / "claims" / "frozen.json"


def read_frozen(study: str) -> dict[str, dict[str, Any]]:
    """Returns {number of the claim: {digest, commit, confirmatory_from}}, empty without the file."""
    path = frozen_file(study)
    return json.loads(path.read_text()) if path.exists() else {}


def claims_to_freeze(study: str) -> list[Claim]:
    """Returns the claims of a paper with confirmatory seeds that are not frozen as they are."""
    known = read_frozen(study)
    claims = load_claims(study).CLAIMS
    return [
        claim
        for claim in claims
        if claim.confirmatory_from and not is_frozen(claim, known.get(str(claim.number), {}))
    ]


def is_frozen(claim: Claim, entry: dict[str, Any]) -> bool:
    """Whether an entry of the file is of the claim's check as it is."""
    now = (digest_of(claim.check), claim.confirmatory_from)
    return (entry.get("digest"), entry.get("confirmatory_from")) == now
