"""Measured: every run of a study as one flat row, and what was spent on all of them.

You are in: t5x_like/study, the edge (reads run directories). Upstream: store.py, index.py.
Downstream: the report, its points.csv, and arm_laws.py.
"""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

from t5x_like.study.branches import trained
from t5x_like.study.store import FINAL, State, Store
from t5x_like.study.worker import short

COLUMNS = (
  "arm",
  "point",
  "seed",
  "state",
  "value",
  "params",
  "tokens",
  "flops",
  "steps",
  "seconds",
  "held_out",
  "reason",
  "address",
  "trunk",
  "trained_flops",
)


def rows(store: Store, states: dict[str, State]) -> list[dict]:
  """One row a cell with the names of COLUMNS, "curve" [[step, value], ...], "final",
  every number measured at the last step, and "noise", as in outcome.py, or None."""
  return [_row(cell, states[cell["address"]]) for cell in store.plan["cells"]]


def _row(cell: dict, state: State) -> dict:
  result = state.result or {}
  ran = state.result or cell  # a branch may have been trained from its first step
  names = ("arm", "seed", "params", "tokens", "flops", "steps", "held_out", "address")
  return {name: cell[name] for name in names} | {
    "point": " ".join(f"{short(k)}={v}" for k, v in cell["point"].items()),
    "state": state.name,
    "reason": state.reason,
    "value": result.get("value"),
    "seconds": result.get("seconds"),
    "curve": result.get("curve", []),
    "final": result.get("final", {}),
    "noise": result.get("noise"),
    "branch": ran.get("branch"),
    "trunk": (ran.get("branch") or {}).get("of"),
    "trained_flops": trained(ran, "flops"),
  }


def write_csv(path: Path, found: list[dict]) -> None:
  """points.csv: what `t5x_like study fit` reads, unless a run has no value."""
  with open(path, "w", encoding="utf-8", newline="") as file:
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(found)


def other_losses(found: list[dict], metric: str) -> list[str]:
  """Held-out losses measured beside the study's metric in every finished run."""
  finals = [set(row["final"]) for row in found if row["state"] == "done"]
  common = set.intersection(*finals) if finals else set()
  return sorted(n for n in common if n.endswith("/loss") and n != metric)


def batches(found: list[dict]) -> list[dict]:
  """The batch beside the one that gradient noise suggests, by arm, size and length.

  [{"arm", "params", "tokens", "runs", "batch", "suggested", "low", "high"}] of runs that
  measured it; batches are in target tokens a step. suggested: the median of the runs;
  low, high: their extremes.
  """
  groups: dict[tuple, list[dict]] = {}
  for row in found:
    if row["noise"]:
      named = (row["arm"], row["params"], row["tokens"])
      groups.setdefault(named, []).append(row["noise"])
  return [
    dict(zip(("arm", "params", "tokens"), named, strict=True))
    | {
      "runs": len(own),
      "batch": statistics.median(noise["batch"] for noise in own),
      "suggested": statistics.median(noise["suggested"] for noise in own),
      "low": min(noise["suggested"] for noise in own),
      "high": max(noise["suggested"] for noise in own),
    }
    for named, own in groups.items()
  ]


def spent(store: Store, states: dict[str, State]) -> dict[str, object]:
  """{"cells": {state: count}, "flops": that finished runs were trained for, "seconds": of
  all attempts, "searching": {"trials", "flops"}, those of searches among them}.

  Attempts that were killed before they could say how long they ran are not in seconds.
  """
  cells: dict[str, int] = {}
  searching = {"trials": 0, "flops": 0.0}
  flops = seconds = 0.0
  for cell in store.queue:
    state = states[cell["address"]]
    if cell.get("trial"):
      searching["trials"] += 1
    else:
      cells[state.name] = cells.get(state.name, 0) + 1
    if state.name in FINAL:
      flops += trained(state.result, "flops")
      if cell.get("trial"):
        searching["flops"] += trained(state.result, "flops")
      seconds += state.result["seconds"]
    else:
      for path in (store.folder(cell) / "attempts").glob("*.exit"):
        seconds += json.loads(path.read_text()).get("seconds", 0.0)
  return {"cells": cells, "flops": flops, "seconds": seconds, "searching": searching}


def versions(store: Store) -> list[dict[str, str]]:
  """Packages that runs were made with, from their newest manifests; one if all agree."""
  found: list[dict[str, str]] = []
  for cell in store.plan["cells"]:
    saved = sorted(
      (store.folder(cell) / "checkpoints").glob("*/manifest.json"),
      key=lambda path: path.stat().st_mtime,
    )
    if saved:
      packages = json.loads(saved[-1].read_text(encoding="utf-8"))["versions"]
      if packages not in found:
        found.append(packages)
  return found
