"""Compare: arms of a study beside its baseline, from results alone.

You are in: t5x_like/study, the edge. Upstream: index.py. The statistics are those of
planning.py and stats.py: runs are paired by point and seed, intervals are of the mean
difference, and p values are corrected over the arms of one table (Holm).
"""

from __future__ import annotations

import math

import numpy as np

from t5x_like.study import planning, speedup
from t5x_like.study.store import FINAL, State, Store
from t5x_like.study.worker import short

CURVE = 3  # measurements of a run that make a curve


def tables(store: Store, states: dict[str, State], *, metric: str | None) -> list[dict]:
  """One table for each point, and one of all points together if there are several."""
  cells = store.plan["cells"]
  found: dict[str, list[dict]] = {}
  for cell in cells:
    found.setdefault(_point(cell), []).append(cell)
  groups = list(found.items())
  if len(found) > 1:
    groups.append((f"all {len(found)} points", cells))
  return [_table(store, title, group, states, metric) for title, group in groups]


def unlike(store: Store) -> dict[str, list[str]]:
  """What differs between arms, of what must be equal for losses to mean the same."""
  found: dict[str, dict[str, list[str]]] = {}
  for cell in store.plan["cells"]:
    for name, value in cell["comparable"].items():
      arms = found.setdefault(name, {}).setdefault(f"{_point(cell)}{value}", [])
      if cell["arm"] not in arms:
        arms.append(cell["arm"])
  every = len(store.plan["arms"])
  return {
    name: sorted({", ".join(arms) for arms in values.values()})
    for name, values in found.items()
    if any(len(arms) < every for arms in values.values())
  }


def _table(store, title, cells, states, metric) -> dict:
  plan = store.plan
  metric = metric or plan["metric"]
  paired = [(_point(cell), cell["seed"]) for cell in cells]
  blocks = {pair: place for place, pair in enumerate(dict.fromkeys(paired))}
  values = {arm: [math.nan] * len(blocks) for arm in plan["arms"]}
  ended = {arm: [False] * len(blocks) for arm in plan["arms"]}
  for cell, pair in zip(cells, paired, strict=True):
    state, place = states[cell["address"]], blocks[pair]
    if state.name in FINAL:
      ended[cell["arm"]][place] = True
      values[cell["arm"]][place] = _value(state.result, plan["metric"], metric)
  # Seeds that an arm has not run yet are no outcome of it; diverged ones are.
  whole = [i for i in range(len(blocks)) if all(runs[i] for runs in ended.values())]
  rows = []
  if whole:
    compared = {arm: np.array(runs)[whole] for arm, runs in values.items()}
    rows = [_plain(r) for r in planning.compare(compared, plan["baseline"])]
  for row in rows:
    own = [c for c in cells if c["arm"] == row["arm"]]
    if row["arm"] != plan["baseline"] and metric == plan["metric"]:
      row["speedup"] = _speedup(plan["baseline"], row["arm"], cells, states)
    row["differs"] = max((c["differs"] for c in own), key=_largest)
    row["steps"], row["params"] = own[0]["steps"], own[0]["params"]
  return {
    "title": title,
    "metric": metric,
    "baseline": plan["baseline"],
    "match": plan["match"],
    "pairs": len(whole),
    "planned": len(blocks),
    "rows": rows,
  }


def _speedup(baseline: str, arm: str, cells: list, states: dict) -> dict | None:
  """The baseline's compute over the arm's for the same loss; None where unknown.

  From the values measured during training, so there must be several.
  """
  curves: dict[tuple, dict] = {}
  for cell in cells:
    state = states[cell["address"]]
    if state.name == "done" and len(state.result.get("curve", ())) >= CURVE:
      steps, losses = np.array(state.result["curve"]).T
      flops = steps * (cell["flops"] / cell["steps"])
      curves.setdefault((_point(cell), cell["seed"]), {})[cell["arm"]] = (flops, losses)
  pairs = [
    (c[baseline], c[arm]) for c in curves.values() if {baseline, arm} <= c.keys()
  ]
  if len(pairs) < 2:
    return None
  try:
    found, never = speedup.from_curves([a for a, _ in pairs], [b for _, b in pairs])
  except ValueError:  # reached by too few to estimate
    return None
  factors = {n: math.exp(getattr(found, n)) for n in ("mean", "low", "high")}
  return factors | {"never": never, "pairs": len(pairs)}


def _value(result: dict, planned: str, metric: str) -> float:
  value = result["value"] if metric == planned else result["final"].get(metric)
  if value is None and result["state"] == "done":
    raise ValueError(
      f"metric {metric!r} was not measured with {planned!r}; known: "
      f"{', '.join(sorted(result['final']))}."
    )
  return math.nan if value is None else value


def _largest(differs: dict[str, float]) -> float:
  return max(map(abs, differs.values()))


def _plain(row: planning.Row) -> dict:
  """A row as JSON values: nan is None."""
  found = {
    name: getattr(row, name)
    for name in (
      "arm",
      "runs",
      "diverged",
      "mean",
      "se",
      "adjusted",
      "verdict",
      "seeds",
    )
  }
  if row.difference is not None:
    d = row.difference
    found |= {"difference": d.mean, "low": d.low, "high": d.high, "p": d.p}
  found["bootstrap"] = row.bootstrap
  return {
    k: None if isinstance(v, float) and math.isnan(v) else v for k, v in found.items()
  }


def _point(cell: dict) -> str:
  return " ".join(f"{short(name)}={value}" for name, value in cell["point"].items())
