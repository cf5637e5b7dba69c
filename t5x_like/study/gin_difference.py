"""Difference of two configurations: what an arm binds that the baseline does not.

You are in: t5x_like/study, pure part (standard library only). Upstream: the whole gin
texts that a plan keeps, of which every line is a binding of one of two forms: `NAME =
value`, or `NAME:` with `key = value` below it.
"""

from __future__ import annotations


def bindings(text: str) -> dict[str, str]:
  """{"run.Run.steps": "100", ...} of a gin text, in its order; imports left out."""
  found: dict[str, str] = {}
  block = last = ""
  for line in text.splitlines():
    bare = line.strip()
    if not bare or bare.startswith(("#", "from ", "import ")):
      continue
    name, equals, value = bare.partition(" = ")
    if not line.startswith(" ") and bare.endswith(":"):
      block = f"{bare[:-1]}."
    elif line.startswith("   ") or not equals:  # a value that goes on
      found[last] += f" {bare}"
    else:
      last = f"{block}{name}" if line.startswith(" ") else name
      block = block if line.startswith(" ") else ""
      found[last] = value
  return found


def difference(before: str, after: str) -> list[str]:
  """Lines "- NAME = value" and "+ NAME = value": how `after` differs from `before`."""
  old, new = bindings(before), bindings(after)
  both = (("-", old), ("+", new))
  lines = []
  for name in dict.fromkeys([*old, *new]):
    if old.get(name) != new.get(name):
      lines += [f"{mark} {name} = {x[name]}" for mark, x in both if name in x]
  return lines
