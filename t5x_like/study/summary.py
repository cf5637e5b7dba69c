"""Summary: everything that a report says of a study, as one value for JSON.

You are in: t5x_like/study, the edge. Upstream: the study's directory. Downstream:
document.py lays it out, figures.py draws it, `study report --json` prints it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from t5x_like.study import (
  arm_grids,
  arm_laws,
  arm_speedups,
  branch_text,
  compare,
  gin_difference,
  index,
  measured,
  search_text,
  version,
)
from t5x_like.study.store import FINAL, Store


def summary(
  store: Store, *, resamples: int, seed: int, wanted: Sequence[float] = ()
) -> dict:
  """wanted: FLOPs that laws are asked about. Raises ValueError when no run of the study
  ended with a number."""
  plan, states = store.plan, index.states(store)
  rows = measured.rows(store, states)
  if not any(row["value"] is not None for row in rows):
    raise ValueError(
      f"{store.root} has no finished cell; see `t5x_like study status --study_dir="
      f"{store.root}`."
    )
  others = measured.other_losses(rows, plan["metric"])
  return {
    "name": plan["name"],
    "question": plan["question"],
    "metric": plan["metric"],
    "baseline": plan["baseline"],
    "match": plan["match"],
    "gin_files": plan["gin_files"],
    "gin_bindings": plan["gin_bindings"],
    "arms": [{"name": arm, "differs": _differs(store, arm)} for arm in plan["arms"]],
    "tables": compare.tables(store, states, metric=None),
    "other_tables": [_whole(store, states, metric) for metric in others],
    "trends": arm_laws.trends(rows, plan["arms"], plan["baseline"]),
    "laws": arm_laws.laws(
      rows, plan["arms"], wanted=wanted, resamples=resamples, seed=seed
    ),
    "speedups": arm_speedups.speedups(
      rows, plan["arms"], plan["baseline"], resamples=resamples, seed=seed
    ),
    "grids": arm_grids.grids(rows, plan["arms"], resamples=resamples, seed=seed),
    "batches": measured.batches(rows),
    "resamples": resamples,
    "unlike": compare.unlike(store),
    "comparable": _comparable(store),
    "spent": measured.spent(store, states),
    "searches": search_text.found(plan, states),
    "branches": {
      "saving": branch_text.saving(plan["cells"]),
      "graph": branch_text.graph(
        plan["cells"], {address: state.name for address, state in states.items()}
      ),
    },
    "code": _code(store, states),
    "versions": measured.versions(store),
    "rows": rows,
  }


def _whole(store: Store, states: dict, metric: str) -> dict:
  """The last table, of all points together, by another metric."""
  return compare.tables(store, states, metric=metric)[-1]


def _differs(store: Store, arm: str) -> list[str]:
  """The arm's configuration beside the baseline's at the first point they share."""
  first = next(cell for cell in store.plan["cells"] if cell["arm"] == arm)
  base = next(
    cell
    for cell in store.plan["cells"]
    if cell["arm"] == store.plan["baseline"] and cell["point"] == first["point"]
  )
  texts = (store.config(cell).read_text(encoding="utf-8") for cell in (base, first))
  return gin_difference.difference(*texts)


def _comparable(store: Store) -> dict[str, list[str]]:
  """What must be equal -> its values; several where points or arms differ in it."""
  found: dict[str, list[str]] = {}
  for cell in store.plan["cells"]:
    for name, value in cell["comparable"].items():
      values = found.setdefault(name, [])
      if value not in values:
        values.append(value)
  return found


def _code(store: Store, states: dict) -> dict[str, object]:
  """{"version", "accepted": {version: reason}, "results": {version: count}}."""
  noted = json.loads((store.root / version.FILE).read_text(encoding="utf-8"))
  results: dict[str, int] = {}
  for state in states.values():
    if state.name in FINAL:
      code = state.result.get("code", "unknown")
      results[code] = results.get(code, 0) + 1
  return noted | {"results": results}
