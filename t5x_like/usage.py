"""Usage: what of a program is read when its root is evaluated, and what is not.

You are in: t5x_like, pure part (standard library only). Upstream: statements.py. A
binding that nothing reads would change nothing in silence, so it is an error; here it
is found without importing or calling anything.

gin's meaning, kept exactly: a reference without a scope is evaluated in the scope of
whoever evaluates it, and the value of macro M in scope "M"; in scope "a/b" the bindings
of "", "a" and "a/b" apply, the innermost last.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

from t5x_like.statements import (
  COMMAND_LINE,
  REQUIRED,
  Binding,
  ConfigError,
  Macro,
  Place,
  Program,
  Reference,
  Target,
  leaves,
  scopes,
)

# What gives a missing macro its value, where `--gin.NAME=...` is not the way.
REMEDIES = {"MODEL": "--gin_file=models/t5_1_1/small.gin"}
EXAMPLES = {
  "MIXTURE_OR_TASK_NAME": "python_docs",
  "TASK_FEATURE_LENGTHS": "\"{'inputs': 512, 'targets': 114}\"",
  "TRAIN_STEPS": "10000",
  "MODEL_DIR": "/tmp/run",
}


@dataclasses.dataclass(frozen=True)
class Call:
  """One evaluation of a target in a scope."""

  target: Target
  scope: str


@dataclasses.dataclass(frozen=True)
class Usage:
  """What evaluating `root` reads.

  calls: in the order of evaluation. macros: names that were read. missing: what has no
  value -> the place that wants it.
  """

  program: Program
  root: Reference | Macro
  calls: tuple[Call, ...]
  macros: frozenset[str]
  missing: dict[str, Place]

  @property
  def effective(self) -> dict[tuple, Binding]:
    """The program's final bindings, by key."""
    return self.program.effective

  @functools.cached_property
  def arguments(self) -> dict[Call, dict[str, Binding]]:
    """Call -> argument -> the binding that supplies it."""
    return {call: _arguments(self.effective, call) for call in self.calls}

  def unread_macros(self, *, consumed: Iterable[str] = ()) -> list[Binding]:
    """Macros that a user set and nothing reads; `consumed` are read by other means."""
    mentioned = {
      leaf.name
      for binding in self.program.bindings
      for leaf in leaves(binding.value)
      if isinstance(leaf, Macro)
    }
    found = []
    for binding in self.effective.values():
      name = binding.argument
      if binding.target is not None or name in self.macros or name in consumed:
        continue
      given = binding.place.file == COMMAND_LINE
      if given or not (binding.place.shipped or name in mentioned):
        found.append(binding)
    return found

  def unread_bindings(self) -> list[Binding]:
    """Arguments bound to what is never evaluated.

    Not those that a later file made pointless by replacing the part they belong to:
    OPTIMIZER = @optim.AdamW() leaves the included file's optim.Adafactor bindings
    without a reader, and that is what was asked for.
    """
    read = {(s, call.target) for call in self.calls for s in scopes(call.scope)}
    unread = [
      binding
      for binding in self.effective.values()
      if binding.target is not None and (binding.scope, binding.target) not in read
    ]
    if not unread:
      return []
    order = {id(binding): i for i, binding in enumerate(self.program.bindings)}
    replaced = list(_replaced(self.program, self.effective))

    def forgiven(binding: Binding) -> bool:
      return any(
        binding.target in targets
        and order[id(binding)] < order[id(by)]
        and binding.place.file != by.place.file
        for by, targets in replaced
      )

    return [binding for binding in unread if not forgiven(binding)]


def analyse(program: Program, root: Reference | Macro) -> Usage:
  """Follows every reference and macro from `root`. ConfigError on a circle."""
  walk = _Walk(program.effective)
  walk.value(root, "", Place(COMMAND_LINE))
  return Usage(
    program, root, tuple(walk.calls), frozenset(walk.macros), dict(walk.missing)
  )


class _Walk:
  """The traversal behind `analyse`; also used to see what a replaced value reached."""

  def __init__(self, effective: dict[tuple, Binding]):
    self.effective = effective
    self.calls: dict[Call, None] = {}
    self.macros: set[str] = set()
    self.missing: dict[str, Place] = {}
    self.open: list[object] = []  # macros and calls being evaluated, outermost first
    self.done: set[object] = set()

  def value(self, value: object, scope: str, place: Place) -> None:
    for leaf in leaves(value):
      if isinstance(leaf, Macro):
        self.macro(leaf, place)
      elif isinstance(leaf, Reference):
        self.call(Call(leaf.target, leaf.scope or scope), place)

  def macro(self, macro: Macro, place: Place) -> None:
    binding = self.effective.get(("", None, macro.name))
    self.macros.add(macro.name)
    if binding is None or binding.value == Macro(REQUIRED):
      self.missing.setdefault(macro.name, place)
      return
    with _Opened(self, macro, place) as new:
      if new:
        self.value(binding.value, macro.name, binding.place)

  def call(self, call: Call, place: Place) -> None:
    with _Opened(self, call, place) as new:
      if new:
        for binding in _arguments(self.effective, call).values():
          if binding.value == Macro(REQUIRED):
            self.missing.setdefault(str(binding), binding.place)
          else:
            self.value(binding.value, call.scope, binding.place)
        self.calls[call] = None


class _Opened:
  """Visits a node once, and refuses to enter one that is being visited."""

  def __init__(self, walk: _Walk, node: object, place: Place):
    self.walk, self.node, self.place = walk, node, place

  def __enter__(self) -> bool:
    if self.node in self.walk.open:
      name = self.node if isinstance(self.node, Macro) else self.node.target
      raise ConfigError(f"{self.place}: {name} refers to itself.")
    self.walk.open.append(self.node)
    return self.node not in self.walk.done

  def __exit__(self, *error: object) -> None:
    self.walk.open.pop()
    self.walk.done.add(self.node)


def _arguments(effective: dict[tuple, Binding], call: Call) -> dict[str, Binding]:
  found = {}
  for scope in scopes(call.scope):
    for (bound, target, argument), binding in effective.items():
      if bound == scope and target == call.target:
        found[argument] = binding
  return found


def _replaced(program: Program, effective: dict) -> Iterable[tuple[Binding, set]]:
  """(the binding that won, the targets that a value it replaced would have reached)."""
  for binding in program.bindings:
    winner = effective[binding.key]
    if winner is binding or binding.value == Macro(REQUIRED):
      continue
    walk = _Walk(effective)
    walk.value(binding.value, binding.scope, binding.place)
    yield winner, {call.target for call in walk.calls}


def missing_message(names: list[str]) -> str:
  """One line that names everything that has no value, and how to give it."""
  ways = [REMEDIES.get(n, f"--gin.{n}={EXAMPLES.get(n, '...')}") for n in names]
  noun = "Required value" if len(names) == 1 else "Required values"
  return f"{noun} missing: {', '.join(names)}. Set e.g. {' '.join(ways)}"
