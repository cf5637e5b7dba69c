"""Statements: what gin files say, as plain values with the place where they stand.

You are in: t5x_like, pure part (standard library only). Upstream: config.py reads files
into a `Program`. Downstream: usage.py asks what a program uses, schema.py whether it
fits the Python it names. You may add a kind of error; the grammar is gin's.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Iterable

REQUIRED = "gin.REQUIRED"
COMMAND_LINE = "command line"


class ConfigError(ValueError):
  """A mistake in a configuration: one line that says where, what and how to mend it."""


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a statement stands. `file` is as the user would name it; line 0: the whole.

  shipped: the file belongs to this package, so the user did not write the statement.
  """

  file: str
  line: int = 0
  shipped: bool = False

  def __str__(self) -> str:
    return f"{self.file}:{self.line}" if self.line else self.file


@dataclasses.dataclass(frozen=True)
class Target:
  """Something callable that gin names: attribute `name` of module `module`."""

  module: str
  name: str

  def __str__(self) -> str:
    return f"{self.module.rpartition('.')[2]}.{self.name}"


@dataclasses.dataclass(frozen=True)
class Macro:
  """%NAME."""

  name: str

  def __repr__(self) -> str:
    return f"%{self.name}"


@dataclasses.dataclass(frozen=True)
class Reference:
  """@scope/module.name() before (Target unknown) or after its file's imports apply."""

  scope: str
  selector: str
  evaluate: bool
  target: Target | None = None

  def __repr__(self) -> str:
    scope = f"{self.scope}/" if self.scope else ""
    return f"@{scope}{self.target or self.selector}{'()' if self.evaluate else ''}"


@dataclasses.dataclass(frozen=True)
class Binding:
  """scope/target.argument = value, or, without a target, the macro argument = value."""

  scope: str
  target: Target | None
  argument: str
  value: object
  place: Place

  @property
  def key(self) -> tuple[str, Target | None, str]:
    """What a later binding of the same thing replaces."""
    return self.scope, self.target, self.argument

  def __str__(self) -> str:
    if self.target is None:
      return self.argument
    scope = f"{self.scope}/" if self.scope else ""
    return f"{scope}{self.target}.{self.argument}"


@dataclasses.dataclass(frozen=True)
class Program:
  """All bindings, in the order of precedence: a later one wins.

  `%gin.REQUIRED` declares that a value must come from somewhere; it never replaces one,
  so a model's file and a run's file can be given in either order.
  """

  bindings: tuple[Binding, ...]

  @functools.cached_property
  def effective(self) -> dict[tuple, Binding]:
    """What each key is bound to in the end."""
    final: dict[tuple, Binding] = {}
    for binding in self.bindings:
      if binding.value != Macro(REQUIRED) or binding.key not in final:
        final[binding.key] = binding
    return final

  def macro(self, name: str) -> Binding | None:
    """The binding that gives macro `name` its value."""
    return self.effective.get(("", None, name))


def scopes(scope: str) -> list[str]:
  """Scopes whose bindings apply in `scope`, outermost first: "a/b" -> "", "a", "a/b"."""
  parts = scope.split("/") if scope else []
  return ["/".join(parts[:i]) for i in range(len(parts) + 1)]


def leaves(value: object) -> Iterable[object]:
  """Everything inside nested lists, tuples and dictionaries, keys included."""
  stack = [value]
  while stack:
    item = stack.pop()
    if isinstance(item, dict):
      stack.extend([*item.keys(), *item.values()])
    elif isinstance(item, (list, tuple)):
      stack.extend(item)
    else:
      yield item


def nearest(word: str, known: Iterable[str]) -> str:
  """Ends a sentence about an unknown word: "; did you mean 'x'?", "; known: x, y." or "."."""
  known = sorted(set(known))
  # Capitals count little: `train_steps` for TRAIN_STEPS is a common slip.
  by_lower = {name.lower(): name for name in known}
  close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
  if close:
    return f"; did you mean {by_lower[close[0]]!r}?"
  listed = ", ".join(known)
  if not known or len(listed) > 120:
    return "."
  return f"; known: {listed}."


def shorten(value: object, width: int = 60) -> str:
  """repr(value), cut in the middle when long."""
  text = " ".join(repr(value).split())
  return text if len(text) <= width else f"{text[: width - 9]} ... {text[-4:]}"
