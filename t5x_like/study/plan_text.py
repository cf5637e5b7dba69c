"""Plan, as text: what a study runs and what that costs, before it is spent.

You are in: t5x_like/study, the edge (reads a plan and results). Upstream: running.py.
"""

from __future__ import annotations

import statistics
from collections import Counter

from t5x_like.study import branch_text, search_text
from t5x_like.study.branches import trained
from t5x_like.study.compare_text import aligned
from t5x_like.study.store import ENDED, FINAL, State, Store
from t5x_like.study.worker import label

POWER_PAIRS = 2  # fewer say nothing about their spread


def text(store: Store, states: dict[str, State]) -> str:
  """The table of arms and points, and totals."""
  plan, rate = store.plan, seconds_per_flop(states)
  groups: dict[str, list[dict]] = {}
  for cell in plan["cells"]:
    groups.setdefault(cell["config"], []).append(cell)
  rows = [
    "arm seeds steps params tokens FLOPs seconds done matched-by beside-baseline".split()
  ]
  rows += [_row(cells, states, rate, plan["baseline"]) for cells in groups.values()]
  origins = branch_text.origin(plan["cells"], seeds=False)
  if origins:
    firsts = [cells[0]["address"] for cells in groups.values()]
    begins = ["begins-at", *(origins.get(address, "-") for address in firsts)]
    rows = [[*row, begin] for row, begin in zip(rows, begins, strict=True)]
  flops = sum(trained(cell, "flops") for cell in store.queue)
  left = [c for c in store.queue if states[c["address"]].name not in ENDED]
  lines = [f"{plan['name']}: {plan['question']}".rstrip(": "), *aligned(rows)]
  trials = len(store.queue) - len(plan["cells"])
  lines.append(
    f"{len(plan['cells'])} cells{f' and {trials} trials' * bool(trials)}, "
    f"{flops:.3g} FLOPs; {len(left)} to run, "
    f"{sum(trained(cell, 'flops') for cell in left):.3g} FLOPs"
    + (
      f", about {duration(sum(trained(c, 'flops') for c in left) * rate)} one by one"
      if rate
      else ""
    )
  )
  lines += search_text.lines(plan, states)
  lines += branch_text.saving(plan["cells"])
  lines.append(f"{store.root}, code {plan['code']}")
  return "\n".join(lines if plan.get("searching") else [*lines, _power(plan)])


def seconds_per_flop(states: dict[str, State]) -> float | None:
  """Of runs of this study that ended; None before the first."""
  found = [
    state.result["seconds"] / trained(state.result, "flops")
    for state in states.values()
    if state.name in FINAL and trained(state.result, "flops")
  ]
  return statistics.median(found) if found else None


def duration(seconds: float) -> str:
  """Seconds as people say them."""
  if seconds < 100:
    return f"{seconds:.0f} s"
  if seconds < 6000:
    return f"{seconds / 60:.0f} min"
  return f"{seconds / 3600:.1f} h"


def _row(
  cells: list[dict], states: dict, rate: float | None, baseline: str
) -> list[str]:
  cell = cells[0]
  name = label(cell | {"seed": ""}).removesuffix(" seed=")
  done = sum(states[c["address"]].name in FINAL for c in cells)
  differs = ", ".join(f"{d:+.2%} {n}" for n, d in cell["differs"].items())
  return [
    name,
    str(len(cells)),
    f"{cell['steps']:,}",
    f"{cell['params']:,}",
    f"{cell['tokens']:,}",
    f"{cell['flops']:.3g}",
    "-" if rate is None else f"{trained(cell, 'flops') * rate:.0f}",
    f"{done}/{len(cells)}",
    ", ".join(cell["solved"]) or "-",
    "-" if cell["arm"] == baseline else differs,
  ]


def _power(plan: dict) -> str:
  """The smallest difference that the planned number of pairs can be expected to find."""
  blocks = {(str(c["point"]), c["seed"]) for c in plan["cells"] if not c["held_out"]}
  points = Counter(point for point, _ in blocks)
  pairs = min(points.values(), default=0)
  if len(plan["arms"]) < 2:
    return "One arm: nothing to compare."
  if pairs < POWER_PAIRS:
    return "One seed: no comparison will have an interval. Give two or more."
  from t5x_like.study import planning  # scipy takes a second to import

  found = planning.detectable(1.0, pairs, is_paired=True)
  return (
    f"{pairs} pairs find, four times in five, a difference of {found:.1f} standard "
    "deviations of a paired difference."
  )
