"""Branches: cells that go on from a checkpoint of another cell, their trunk.

You are in: t5x_like/study, the edge (standard library only). Upstream: trunks.py, which
put them into the plan. Downstream: workers, which pass over a branch until its trunk has
come by, status and report. A cell without a trunk has no "branch", or None there.
"""

from __future__ import annotations

from pathlib import Path

from t5x_like.study import claims, outcome
from t5x_like.study.store import ENDED, State, Store

# What a step's directory holds once it is complete (t5x_like/manifest.py).
COMPLETE = "manifest.json"


def trained(cell: dict, name: str) -> float:
  """What a cell, or its result, is trained for: name is "tokens" or "flops"."""
  return (cell.get("pruned") or cell.get("branch") or cell)[name]


def waits(store: Store, cell: dict) -> bool:
  """Whether the trunk of a queued cell has still to come by."""
  return not _can_begin(store, cell) and _trunk(store, cell).name not in ENDED


def lost(store: Store, cell: dict) -> dict | None:
  """How a branch ends whose trunk failed or diverged before it came by, as an attempt's
  exit: {"class", "reason"}, and "found" where that is a result.

  That a trunk diverged is the branch's outcome too; what failed can be tried again.
  """
  if _can_begin(store, cell) or (state := _trunk(store, cell)).name == "done":
    return None
  told = f"its trunk {cell['branch']['of']} {state.name} before step "
  reason = f"{told}{cell['branch']['step']}: {state.reason}"
  if state.name != "diverged":
    return {"class": "failed", "reason": reason}
  nothing = cell["branch"] | {"tokens": 0, "flops": 0.0}
  found = outcome.diverged(reason) | {"branch": nothing}
  found["code"] = state.result.get("code", "unknown")
  return {"class": "diverged", "reason": reason, "found": found}


def taken(store: Store, cell: dict) -> dict | None:
  """The branch as it is run: None where the trunk was done before this branch was planned,
  so that it is trained from its first step, which gives the same numbers."""
  return cell.get("branch") if _can_begin(store, cell) else None


def bindings(store: Store, cell: dict) -> list[str]:
  """What a branch's configuration, which is that of all seeds, is told when it is run."""
  if not cell.get("branch"):
    return []
  if taken(store, cell) is None:
    return ["run.Run.branch = None"]
  return [f"run.Branch.path = {str(_folder(store, cell))!r}"]


def _trunk(store: Store, cell: dict) -> State:
  return store.state({"address": cell["branch"]["of"]}, now=claims.clock(store.root))


def _folder(store: Store, cell: dict) -> Path:
  return store.folder({"address": cell["branch"]["of"]})


def _can_begin(store: Store, cell: dict) -> bool:
  """Whether the trunk's checkpoint is there; always, without a trunk."""
  if not cell.get("branch"):
    return True
  step = str(cell["branch"]["step"])
  return (_folder(store, cell) / "checkpoints" / step / COMPLETE).exists()
