"""Operative configuration: gin text that builds the same run again.

You are in: t5x_like, pure part. Upstream: usage.py and schema.py. What is written into
a run directory as config.gin: every value that was used, defaults included, so that a
later change of a default does not change an old run.
"""

from __future__ import annotations

import pprint

from t5x_like import schema
from t5x_like.statements import Macro, Place, Reference, Target, leaves, scopes
from t5x_like.usage import Call, Usage

HEADER = "# Everything this run was built from, defaults included. Valid gin."
LITERALS = (bool, int, float, str, type(None))


def text(usage: Usage, *, comment: str = "") -> str:
  """The operative configuration of an analysed program, as a gin file."""
  calls = _written(usage)
  names = _module_names([call.target for call in usage.calls])
  lines = [HEADER, *(f"# {line}" for line in comment.splitlines())]
  lines += ["from __gin__ import dynamic_registration", ""]
  lines += [_import(module, name) for module, name in sorted(names.items())]
  lines.append("")
  for name in _macros(usage):
    lines.append(
      f"{name} = {_format(usage.program.macro(name).value, names, len(name))}"
    )
  for (scope, target), values in calls.items():
    selector = f"{names[target.module]}.{target.name}"
    lines += ["", f"{scope}/{selector}:" if scope else f"{selector}:"]
    lines += [
      f"  {argument} = {_format(value, names, len(argument) + 2)}"
      for argument, value in values.items()
    ]
  return "\n".join(lines) + "\n"


def _written(usage: Usage) -> dict[tuple[str, Target], dict[str, object]]:
  """(scope, target) -> argument -> value; the root's first, the others by name.

  The scope is the shortest in which the same bindings apply: a reference inside macro
  MODEL is evaluated in scope "MODEL", which says nothing that a reader wants to know.
  """
  bound = {(b.scope, b.target) for b in usage.effective.values() if b.target}
  found: dict[tuple[str, Target], dict[str, object]] = {}
  *others, root = usage.calls
  for call in [root, *sorted(others, key=_order)]:
    own = [scope for scope in scopes(call.scope) if (scope, call.target) in bound]
    values = _values(usage, call)
    if values:
      found[own[-1] if own else "", call.target] = values
  return found


def _order(call: Call) -> tuple[str, str, str]:
  return call.target.module, call.target.name, call.scope


def _values(usage: Usage, call: Call) -> dict[str, object]:
  bindings = usage.arguments[call]
  accepted, _ = schema.parameters(schema.resolve(call.target, Place("config.gin")))
  values = {}
  for name, parameter in accepted.items():
    if name in bindings:
      values[name] = bindings[name].value
    elif not parameter.required and _literal(parameter.default):
      values[name] = parameter.default
  return values | {name: b.value for name, b in bindings.items() if name not in values}


def _literal(value: object) -> bool:
  return isinstance(value, (*LITERALS, tuple, list, dict)) and all(
    type(leaf) in LITERALS
    and leaf not in (float("inf"), float("-inf"))
    and leaf == leaf
    for leaf in leaves(value)
  )


def _macros(usage: Usage) -> list[str]:
  """Macros that were read, in the order in which they were set."""
  return [
    binding.argument
    for binding in usage.effective.values()
    if binding.target is None and binding.argument in usage.macros
  ]


def _module_names(targets: list[Target]) -> dict[str, str]:
  """Module -> the name it is imported as: its last part, or more where two would clash."""
  names: dict[str, str] = {}
  for module in sorted({target.module for target in targets}):
    short = module.rpartition(".")[2]
    names[module] = short if short not in names.values() else module.replace(".", "_")
  return names


def _import(module: str, name: str) -> str:
  package, _, last = module.rpartition(".")
  if not package:
    return f"import {module}"
  alias = "" if name == last else f" as {name}"
  return f"from {package} import {last}{alias}"


class _Source(str):
  """A string that prints as itself inside containers."""

  def __repr__(self) -> str:
    return str(self)


def _format(value: object, names: dict[str, str], indent: int) -> str:
  plain = _named(value, names)
  printed = pprint.pformat(plain, width=max(20, 84 - indent), sort_dicts=False)
  if "\n" not in printed:
    return printed
  return "\\\n" + "\n".join(f"    {line}" for line in printed.splitlines())


def _named(value: object, names: dict[str, str]) -> object:
  """The value with macros and references as the file's imports spell them."""
  if isinstance(value, Macro):
    return _Source(f"%{value.name}")
  if isinstance(value, Reference):
    scope = f"{value.scope}/" if value.scope else ""
    return _Source(f"@{scope}{names[value.target.module]}.{value.target.name}()")
  if isinstance(value, dict):
    return {_named(k, names): _named(v, names) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return type(value)(_named(item, names) for item in value)
  return value
