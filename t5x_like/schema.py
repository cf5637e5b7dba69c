"""Schema: whether what gin names exists in Python and takes what it is given.

You are in: t5x_like. Upstream: usage.py (what will be called). Downstream: config.py
calls it. Signatures and annotations are the schema; nothing is declared twice. Only
`resolve` imports, and only from `ALLOWED`: a configuration must not be able to run
whatever is installed.
"""

from __future__ import annotations

import ast
import collections.abc
import dataclasses
import functools
import importlib
import inspect
import pathlib
import sys
import textwrap
import types
import typing

from t5x_like.statements import ConfigError, Place, Target, nearest, shorten

ALLOWED = ("t5x_like", "models", "partitioning", "optax")
# gin builds values: dataclasses anywhere, functions only where these are all they do.
FUNCTIONS = ("models.families", "optax")
ROOT = pathlib.Path(__file__).resolve().parent.parent
ANYTHING = object


@dataclasses.dataclass(frozen=True)
class Parameter:
  """One argument: its annotation (object: anything), and its default if it has one."""

  hint: object
  required: bool
  default: object = None


@functools.cache
def short_names() -> dict[str, str]:
  """Module name without packages -> module, for what the command line may name."""
  found: dict[str, list[str]] = {}
  for package in ALLOWED[:-1]:
    for path in sorted((ROOT / package).rglob("*.py")):
      parts = path.relative_to(ROOT).with_suffix("").parts
      found.setdefault(parts[-1], []).append(".".join(parts))
  names = {name: where[0] for name, where in found.items() if len(where) == 1}
  return names | {"optax": "optax"}


def check_module(module: str, place: Place) -> None:
  """ConfigError unless a configuration may import `module`; imports nothing."""
  if module.split(".")[0] not in ALLOWED:
    raise ConfigError(
      f"{place}: gin may import only {', '.join(ALLOWED)}, not {shorten(module)}."
    )


def load(module: str, place: Place) -> types.ModuleType:
  """Imports an allowed module; ConfigError when there is none of that name."""
  check_module(module, place)
  try:
    return importlib.import_module(module)
  except ModuleNotFoundError as error:
    if error.name is None or not module.startswith(error.name):
      raise  # the module exists and needs something that is not installed
    parent = module.rpartition(".")[0]
    known = [m for m in short_names().values() if m.rpartition(".")[0] == parent]
    hint = nearest(module, known or short_names().values())
    raise ConfigError(f"{place}: there is no module {module!r}{hint}") from error


@functools.cache
def _members(module: types.ModuleType) -> dict[str, object]:
  """What gin may call of a module: what it defines itself (optax: what it offers)."""
  own = module.__name__
  foreign = own.split(".")[0] == "optax"
  functions = any(own == name or own.startswith(f"{name}.") for name in FUNCTIONS)
  return {
    name: value
    for name, value in vars(module).items()
    if (dataclasses.is_dataclass(value) or (functions and inspect.isfunction(value)))
    and inspect.isroutine(value) | inspect.isclass(value)
    and not name.startswith("_")
    and (value.__module__ == own or (foreign and value.__module__.startswith("optax")))
  }


def resolve(target: Target, place: Place) -> object:
  """The class or function a target names; ConfigError with the nearest names if none.

  It must live in the module it is taken from: what a module merely imported (os, say)
  is out of reach.
  """
  module = load(target.module, place)
  members = _members(module)
  if target.name in members:
    return members[target.name]
  value = getattr(module, target.name, None)
  home = str(getattr(value, "__module__", ""))
  if callable(value) and home == target.module:
    raise ConfigError(
      f"{place}: {target} is no spec; gin builds dataclasses and models, nothing else."
    )
  if callable(value) and home.split(".")[0] in ALLOWED:
    raise ConfigError(
      f"{place}: {target.name} lives in {home}; import it from there, not from "
      f"{target.module}."
    )
  raise ConfigError(
    f"{place}: {target.module} has no {target.name!r}{nearest(target.name, members)}"
  )


@functools.cache
def parameters(callee: object) -> tuple[dict[str, Parameter], bool]:
  """(argument name -> Parameter, whether further names may be accepted).

  `**sizes` that a function hands on to another one is followed: what t5_1_1 accepts
  includes what t5 accepts, without the arguments that t5_1_1 sets itself.
  """
  signature = inspect.signature(callee)
  hints = _hints(callee)
  found, rest = {}, None
  for name, parameter in signature.parameters.items():
    if parameter.kind is parameter.VAR_KEYWORD:
      rest = name
    elif parameter.kind is not parameter.VAR_POSITIONAL:
      required = parameter.default is parameter.empty
      default = None if required else parameter.default
      found[name] = Parameter(hints.get(name, ANYTHING), required, default)
  if rest is None:
    return found, False
  handed_on = _handed_on(callee, rest)
  if handed_on is None:
    return found, True
  inner, given = handed_on
  accepted, more = parameters(inner)
  accepted = {name: p for name, p in accepted.items() if name not in given}
  return accepted | found, more


def _hints(callee: object) -> dict[str, object]:
  try:
    return typing.get_type_hints(callee)
  except (
    Exception
  ):  # a name that exists for type checkers only: then nothing is checked
    return {}


def _handed_on(callee: object, rest: str) -> tuple[object, set[str]] | None:
  """(the function that receives **rest, names it gets besides), read from the source."""
  try:
    tree = ast.parse(textwrap.dedent(inspect.getsource(callee)))
  except (OSError, TypeError, SyntaxError):
    return None
  for node in ast.walk(tree):
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
      continue
    for keyword in node.keywords:
      value = keyword.value
      if keyword.arg is None and isinstance(value, ast.Name) and value.id == rest:
        inner = vars(sys.modules[callee.__module__]).get(node.func.id)
        given = {k.arg for k in node.keywords if k.arg is not None}
        return (inner, given) if callable(inner) else None
  return None


def fits(value: object, hint: object) -> bool:
  """Whether a value may stand where `hint` is annotated. What is not understood fits."""
  if hint is ANYTHING or hint is typing.Any:
    return True
  if hint is None or hint is type(None):
    return value is None
  origin, inside = typing.get_origin(hint), typing.get_args(hint)
  if _is_union(hint):
    return any(fits(value, option) for option in inside)
  if origin is typing.Literal:
    return value in inside
  if origin is typing.Annotated:
    return fits(value, inside[0])
  if origin in (tuple, list) or hint in (tuple, list):
    return isinstance(value, (tuple, list)) and _items_fit(value, origin, inside)
  if origin is dict:
    key, item = inside
    return isinstance(value, dict) and all(
      fits(k, key) and fits(v, item) for k, v in value.items()
    )
  if hint is collections.abc.Callable or origin is collections.abc.Callable:
    return callable(value)
  if hint is float:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
  if hint is int:
    return isinstance(value, int) and not isinstance(value, bool)
  if inspect.isclass(hint) and origin is None:
    try:
      return isinstance(value, hint)
    except TypeError:  # a Protocol without run-time checks
      return True
  return True


def _is_union(hint: object) -> bool:
  return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _items_fit(value: tuple | list, origin: object, inside: tuple) -> bool:
  if not inside:
    return True
  if origin is tuple and inside[-1] is not Ellipsis:
    return len(value) == len(inside) and all(map(fits, value, inside))
  return all(fits(item, inside[0]) for item in value)


def coerce(value: object, hint: object) -> object:
  """A list becomes a tuple where a tuple is annotated: specs must be hashable."""
  options = typing.get_args(hint) if _is_union(hint) else (hint,)
  kinds = {typing.get_origin(option) or option for option in options}
  if isinstance(value, list) and tuple in kinds and list not in kinds:
    return _tuples(value)
  return value


def _tuples(value: object) -> object:
  return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def describe(hint: object) -> str:
  """An annotation as a user reads it: "int", "float or None"."""
  origin = typing.get_origin(hint)
  if _is_union(hint):
    return " or ".join(describe(option) for option in typing.get_args(hint))
  if hint is type(None):
    return "None"
  if origin is typing.Literal:
    return f"one of {', '.join(map(repr, typing.get_args(hint)))}"
  if inspect.isclass(hint) and origin is None:
    return hint.__name__
  return str(hint).replace("typing.", "")


def advice(value: object, hint: object) -> str:
  """What to write instead, for the slips that are common."""
  options = typing.get_args(hint) or (hint,)
  if isinstance(value, str) and value.lower() in ("true", "false", "none", "null"):
    word = {"null": "None"}.get(value.lower(), value.capitalize())
    return f"; write {word}"
  if isinstance(value, float) and value.is_integer() and int in options:
    return f"; write {int(value)}"
  if isinstance(value, (int, float)) and str in options:
    return f"; quote it: '\"{value}\"'"
  return ""
