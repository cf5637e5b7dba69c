"""Branches, as text: which run leaves which trunk, where, and what that saves.

You are in: t5x_like/study, pure part (standard library only). Upstream: cells of a plan.
Downstream: `study plan`, `study status` and the report. A study without branches has
nothing to say here.
"""

from __future__ import annotations

from collections.abc import Iterable

from t5x_like.study.branches import trained
from t5x_like.study.worker import label


def origin(cells: Iterable[dict], *, seeds: bool = True) -> dict[str, str]:
  """Address of a branch -> "step 60 of gated TRAIN_STEPS=100 seed=0"."""
  cells = list(cells)
  named = {c["address"]: c for c in cells}
  found = {}
  for cell in cells:
    if cell.get("branch"):
      name = label(named[cell["branch"]["of"]])
      name = name if seeds else name.rpartition(" seed=")[0]
      found[cell["address"]] = f"step {cell['branch']['step']} of {name}"
  return found


def saving(cells: list[dict]) -> list[str]:
  """What branches are trained for beside what they would be from their first step."""
  leaving = [cell for cell in cells if cell.get("branch")]
  if not leaving:
    return []
  trunks = len({cell["branch"]["of"] for cell in leaving})
  parts = []
  for name, text in (("tokens", "{:,.0f} tokens"), ("flops", "{:.3g} FLOPs")):
    whole = sum(cell[name] for cell in cells)
    spent = sum(trained(cell, name) for cell in cells)
    saved = 1 - spent / whole
    parts.append(
      f"{text.format(spent)} in place of {text.format(whole)} (-{saved:.0%})"
    )
  return [f"{len(leaving)} branches of {trunks} trunks: {', '.join(parts)}"]


def graph(cells: list[dict], states: dict[str, str]) -> str:
  """Every trunk with its branches below it, by the step at which they leave it.

  states: address -> state of the run. Empty without branches.
  """
  named = {cell["address"]: cell for cell in cells}
  below: dict[str, list[dict]] = {}
  for cell in cells:
    if cell.get("branch"):
      below.setdefault(cell["branch"]["of"], []).append(cell)
  told = lambda cell: f"{label(cell)}, {states[cell['address']]}"
  lines = []
  for address, leaving in below.items():
    trunk = named[address]
    lines.append(f"{told(trunk)}: steps 1 to {trunk['steps']}")
    for cell in sorted(leaving, key=lambda cell: cell["branch"]["step"]):
      first, last = cell["branch"]["step"] + 1, cell["steps"]
      lines.append(f"  `- {told(cell)}: steps {first} to {last}")
  return "\n".join(lines)
