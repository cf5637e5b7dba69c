"""Builder: the Python objects that an analysed configuration describes.

You are in: t5x_like. Upstream: usage.py (what is evaluated, in which order) and
schema.py (what it accepts). Downstream: config.py. Every failure is a `ConfigError` at
the place of the value that caused it.
"""

from __future__ import annotations

import dataclasses

from t5x_like import schema
from t5x_like.statements import (
  COMMAND_LINE,
  Binding,
  ConfigError,
  Macro,
  Place,
  Program,
  Reference,
  nearest,
  shorten,
)
from t5x_like.usage import Call, Usage


def build(used: Usage) -> object:
  """What the root of an analysed program evaluates to. Imports what it names."""
  for call in used.calls:
    _check_call(used, call)
  for binding in used.unread_bindings():
    _raise_unread(used, binding)
  return _Builder(used).value(used.root, "", Place(COMMAND_LINE))


@dataclasses.dataclass(frozen=True)
class _Builder:
  """Evaluates values: calls what references name with the arguments bound to it."""

  used: Usage

  def value(self, value: object, scope: str, place: Place) -> object:
    if isinstance(value, Macro):
      binding = self.used.program.macro(value.name)
      return self.value(binding.value, value.name, binding.place)
    if isinstance(value, Reference):
      return self.call(Call(value.target, value.scope or scope), place)
    if isinstance(value, dict):
      return {
        self.value(key, scope, place): self.value(item, scope, place)
        for key, item in value.items()
      }
    if isinstance(value, (list, tuple)):
      return type(value)(self.value(item, scope, place) for item in value)
    return value

  def call(self, call: Call, place: Place) -> object:
    bindings = self.used.arguments[call]
    callee = schema.resolve(call.target, place)
    accepted, _ = schema.parameters(callee)
    arguments = {}
    for name, binding in bindings.items():
      hint = accepted[name].hint if name in accepted else schema.ANYTHING
      built = schema.coerce(self.value(binding.value, call.scope, binding.place), hint)
      if not schema.fits(built, hint):
        raise ConfigError(_misfit(self.used.program, binding, built, hint))
      arguments[name] = built
    try:
      return callee(**arguments)
    except ConfigError:
      raise
    except Exception as error:
      raise self.failure(call, place, error) from error

  def failure(self, call: Call, place: Place, error: Exception) -> ConfigError:
    """The error of a callee, at the place of the argument or macro that it names."""
    bindings = self.used.arguments[call]
    where = _place(bindings, place)
    for name, binding in bindings.items():
      source = _source(self.used.program, binding)
      if f".{name}=" in str(error) or f"{source.argument}=" in str(error):
        where = source.place
    if isinstance(error, ValueError):
      return ConfigError(f"{where}: {error}")
    # What a family does with numbers that it did not expect.
    kind = type(error).__name__
    return ConfigError(f"{where}: {call.target} failed: {kind}: {error}")


def _check_call(used: Usage, call: Call) -> None:
  """ConfigError for arguments that do not exist and required ones that are missing."""
  bindings = used.arguments[call]
  place = _place(bindings, Place(COMMAND_LINE))
  accepted, more = schema.parameters(schema.resolve(call.target, place))
  for name, binding in bindings.items():
    if name not in accepted and not more:
      _raise_unknown(binding, accepted)
  absent = [n for n, p in accepted.items() if p.required and n not in bindings]
  if absent:
    raise ConfigError(
      f"{place}: {call.target} needs a value for {', '.join(absent)}, e.g. "
      f"{call.target}.{absent[0]} = ..."
    )


def _raise_unknown(binding: Binding, accepted: dict) -> None:
  raise ConfigError(
    f"{binding.place}: {binding.target} has no parameter {binding.argument!r}"
    f"{nearest(binding.argument, accepted)}"
  )


def _raise_unread(used: Usage, binding: Binding) -> None:
  """Says why nothing reads a binding: no such thing, or not part of this run."""
  accepted, more = schema.parameters(schema.resolve(binding.target, binding.place))
  if binding.argument not in accepted and not more:
    _raise_unknown(binding, accepted)
  scope = f"{binding.scope}/" if binding.scope else ""
  raise ConfigError(
    f"{binding.place}: nothing uses {binding}: this run evaluates no "
    f"@{scope}{binding.target}(). To change a part that Python builds, use run.Run.swaps."
  )


def _misfit(program: Program, binding: Binding, value: object, hint: object) -> str:
  """The message for a value of the wrong type, at the place where the value stands."""
  source, subject = _source(program, binding), str(binding)
  if source is not binding:
    subject = f"{source.argument} (for {binding})"
  kind = type(value).__name__
  got = kind if dataclasses.is_dataclass(value) else f"{kind} {shorten(value, 40)}"
  return (
    f"{source.place}: {subject} must be {schema.describe(hint)}, not {got}"
    f"{schema.advice(value, hint)}."
  )


def _source(program: Program, binding: Binding) -> Binding:
  """Where a value really comes from: the macro behind `x = %MACRO`, if it is one."""
  while isinstance(binding.value, Macro):
    binding = program.macro(binding.value.name)
  return binding


def _place(bindings: dict[str, Binding], default: Place) -> Place:
  """Where a call is configured: the last of its bindings that a user wrote, or any."""
  places = [binding.place for binding in bindings.values()] or [default]
  return next((place for place in reversed(places) if not place.shipped), places[-1])
