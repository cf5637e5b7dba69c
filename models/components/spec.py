"""Specs: architectures as immutable values. Pure Python, no JAX.

You are in: models/components, bottom layer. A spec says what a component is; the layer
beside it says how it computes. Specs are frozen dataclasses, so equal layers compare
equal and a whole model prints, hashes, diffs and can be rewritten.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

spec = dataclasses.dataclass(frozen=True, kw_only=True)
replace = dataclasses.replace


def walk(node: object, path: tuple = ()) -> Iterator[tuple[tuple, object]]:
  """Yields (path, spec) for every spec in the tree, parents first."""
  if isinstance(node, tuple):
    for i, child in enumerate(node):
      yield from walk(child, (*path, i))
  elif dataclasses.is_dataclass(node):
    yield path, node
    for field in dataclasses.fields(node):
      yield from walk(getattr(node, field.name), (*path, field.name))


def rewrite(node: object, rule: Callable[[object], object]) -> object:
  """Returns the tree with `rule(spec)` applied to every spec, leaves first."""
  if isinstance(node, tuple):
    return tuple(rewrite(child, rule) for child in node)
  if not dataclasses.is_dataclass(node):
    return node
  new = {
    field.name: rewrite(getattr(node, field.name), rule)
    for field in dataclasses.fields(node)
  }
  return rule(replace(node, **new))


@spec
class Swap:
  """Replaces every spec whose class is named `old` by `new`, anywhere in a model.

  If `new` has a method `instead_of(old)`, then by what that returns: a part that keeps
  sizes or parts of the one it replaces.
  """

  old: str
  new: object

  def __call__(self, model: object) -> object:
    present = sorted({type(node).__name__ for _, node in walk(model)})
    if self.old not in present:
      raise ValueError(
        f"Swap.old={self.old!r} names no part of this model. "
        f"Its parts are: {', '.join(present)}."
      )
    instead = getattr(self.new, "instead_of", lambda _: self.new)
    return rewrite(model, lambda n: instead(n) if type(n).__name__ == self.old else n)


def swap(model: object, old: type, new: object) -> object:
  """`swap(model, RMSNorm, LayerNorm())`: the same model with that part replaced."""
  return Swap(old=old.__name__, new=new)(model)


def fold(node: object, indent: int = 0) -> str:
  """Prints a spec as text, equal neighbours folded to `12 x Block(...)`."""
  pad = "  " * (indent + 1)
  if isinstance(node, tuple) and node:
    lines = []
    for child, group in itertools.groupby(node):
      count = len(list(group))
      times = f"{count} x " if count > 1 else ""
      lines.append(f"{pad}{times}{fold(child, indent + 1)},\n")
    return "(\n" + "".join(lines) + "  " * indent + ")"
  if not dataclasses.is_dataclass(node):
    return repr(node)
  fields = [(f.name, getattr(node, f.name)) for f in dataclasses.fields(node)]
  flat = ", ".join(f"{k}={fold(v)}" for k, v in fields if not _nested(v))
  deep = [(k, v) for k, v in fields if _nested(v)]
  if not deep:
    return f"{type(node).__name__}({flat})"
  head = f"{pad}{flat},\n" if flat else ""
  body = "".join(f"{pad}{k}={fold(v, indent + 1)},\n" for k, v in deep)
  return f"{type(node).__name__}(\n{head}{body}{'  ' * indent})"


def _nested(value: object) -> bool:
  return dataclasses.is_dataclass(value) or (isinstance(value, tuple) and bool(value))
