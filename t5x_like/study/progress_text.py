"""Status, as text: where every cell of a study is.

You are in: t5x_like/study, the edge (reads run directories). Upstream: running.py.
"""

from __future__ import annotations

from t5x_like.study import branch_text, branches, outcome, rungs, search_text
from t5x_like.study.compare_text import aligned
from t5x_like.study.plan_text import duration
from t5x_like.study.store import ENDED, FINAL, State, Store
from t5x_like.study.worker import label

# What a user wants to see first.
ORDER = ("running", "failed", "diverged", "queued", "done", "pruned")


def rows(store: Store, states: dict[str, State]) -> list[dict]:
  """One row a cell, those that need attention first."""
  found, origins = [], branch_text.origin(store.plan["cells"])
  for cell in store.queue:
    state = states[cell["address"]]
    row = {
      "cell": label(cell),
      "state": state.name,
      "step": _step(cell, state),
      "steps": cell["steps"],
      "attempts": state.attempts,
      "value": (state.result or {}).get("value"),
      "reason": state.reason,
      "begins_at": origins.get(cell["address"], ""),
      "directory": str(store.folder(cell)),
    }
    if state.name == "queued":
      row["reason"] = _waits(store, cell, row["begins_at"]) or row["reason"]
    if state.name not in ENDED and state.attempts:
      row["step"], rate = outcome.progress(store.folder(cell))
      if rate and state.name == "running":
        row["seconds_left"] = (cell["steps"] - row["step"]) / rate
    found.append(row)
  return sorted(found, key=lambda row: ORDER.index(row["state"]))


def text(store: Store, states: dict[str, State], *, most: int) -> str:
  """Counts, then a line a cell, then where the logs of failed cells are."""
  counts = {name: 0 for name in ORDER}
  for state in states.values():
    counts[state.name] += 1
  found = rows(store, states)
  lines = [
    f"{store.plan['name']}: " + ", ".join(f"{n} {k}" for k, n in counts.items() if n)
  ]
  head = ["state", "cell", "step", store.plan["metric"], "attempts", ""]
  lines += aligned([head, *map(_words, found[:most])])
  lines += search_text.lines(store.plan, states)
  if len(found) > most:
    lines.append(f"  and {len(found) - most} more (--cells)")
  failed = [row for row in found if row["state"] == "failed"]
  if failed:
    lines.append(
      f"Logs: {failed[0]['directory']}/attempts/. Again: study run --retry_failed"
    )
  compiled = store.root / "compiled"
  if compiled.is_dir():
    ran = sum(counts[name] for name in FINAL)
    programs = sum(path.name.endswith("-cache") for path in compiled.iterdir())
    lines.append(f"{programs} programs compiled for {ran} runs that ended")
  return "\n".join(lines)


def _step(cell: dict, state: State) -> int:
  """The last step that an ended run is known to have made."""
  if state.name == "done":
    return cell["steps"]
  curve = (state.result or {}).get("curve")
  return curve[-1][0] if curve else 0


def _waits(store: Store, cell: dict, begins_at: str) -> str:
  """What a queued cell waits for."""
  if branches.waits(store, cell):
    return f"waits for {begins_at}"
  turn = rungs.turn(store, cell)
  return f"waits for its round at step {turn.until}" if turn.waits else ""


def ended(states: dict[str, State]) -> bool:
  """Whether nothing is left to run."""
  return all(state.name in ENDED for state in states.values())


def _words(row: dict) -> list[str]:
  note = row["reason"]
  if row["begins_at"] and not note:
    note = f"from {row['begins_at']}"
  if "seconds_left" in row:
    note = f"{duration(row['seconds_left'])} left"
  return [
    row["state"],
    row["cell"],
    f"{row['step']}/{row['steps']}",
    "" if row["value"] is None else f"{row['value']:.4f}",
    str(row["attempts"] or ""),
    note if len(note) <= 120 else f"{note[:117]}...",
  ]
