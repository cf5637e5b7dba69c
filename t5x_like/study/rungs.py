"""Rungs: where trials of a search stop until all of their round have come as far.

You are in: t5x_like/study, the edge (standard library until it halves). Upstream: tune.Halving,
which put the steps into the plan. Downstream: workers, which pass over a trial that waits.
The decision follows from losses at one step, so all workers come to the same one, and it
is made again from files whenever it is asked for.
"""

from __future__ import annotations

import dataclasses
import math

from t5x_like.study import claims, outcome, version
from t5x_like.study.store import FINAL, Store


@dataclasses.dataclass(frozen=True)
class Turn:
  """What a queued cell may do. waits: for others, at step `until`. until: the step up to
  which it may be trained, None for all. ended: as an attempt's exit, see branches.lost."""

  waits: bool = False
  until: int | None = None
  ended: dict | None = None

  def bindings(self) -> list[str]:
    """What the run is told."""
    return [] if self.until is None else [f"run.Run.pause = {self.until}"]


FREE = Turn()


def turn(store: Store, cell: dict) -> Turn:
  """Whose turn it is: always a cell's that is no trial, or one of a search that does not
  halve."""
  looks = (cell.get("trial") or {}).get("looks", ())
  if not looks:
    return FREE
  from t5x_like.study import pruning  # workers start at once, and most never halve

  peers = _peers(store, cell)
  losses = {address: _losses(store, peer) for address, peer in peers.items()}
  running = list(peers)
  for look in looks:
    if look not in losses[cell["address"]]:
      return Turn(until=look)
    if missing := _missing(store, peers, losses, running, look):
      return missing
    curves = {peer: [losses[peer][look]] for peer in running}
    [running] = pruning.successive_halving(curves, [0], factor=cell["trial"]["factor"])
    if cell["address"] not in running:
      return Turn(ended=_pruned(store, cell, look, len(running)))
  return FREE


def _missing(
  store: Store, peers: dict, losses: dict, running: list[str], look: int
) -> Turn | None:
  """Why trials cannot be compared at a step yet; None where they can. One that ended
  before it, which diverged, gets nan there."""
  waits = False
  for peer in running:
    if look in losses[peer]:
      continue
    state = _state(store, peers[peer])
    if state.name == "failed":
      told = f"trial {peers[peer]['trial']['number']} of its round failed"
      return Turn(ended={"class": "failed", "reason": f"{told}: {state.reason}"})
    if state.name in FINAL:
      losses[peer][look] = math.nan
    else:
      waits = True
  return Turn(waits=True, until=look) if waits else None


def _peers(store: Store, cell: dict) -> dict[str, dict]:
  """Address -> trial, of its round, itself included; in the order of their numbers."""
  same = lambda other: (
    (other["arm"], other["point"], other["trial"]["round"])
    == (cell["arm"], cell["point"], cell["trial"]["round"])
  )
  return {other["address"]: other for other in store.plan["trials"] if same(other)}


def _losses(store: Store, cell: dict) -> dict[int, float]:
  """Step -> the study's metric, as far as a run has measured it."""
  metric = store.plan["metric"]
  lines = outcome.ledger(store.folder(cell))
  return {line["step"]: line[metric] for line in lines if metric in line}


def _state(store: Store, cell: dict):
  return store.state(cell, now=claims.clock(store.root))


def _pruned(store: Store, cell: dict, look: int, kept: int) -> dict:
  """The exit of a trial that was not among those kept."""
  losses = _losses(store, cell)
  share = look / cell["steps"]
  reason = f"{losses[look]:.4f} at step {look} is not among the {kept} lowest"
  found = {
    "state": "pruned",
    "value": None,
    "reason": reason,
    "curve": [[s, loss] for s, loss in losses.items() if math.isfinite(loss)],
    "pruned": {"tokens": cell["tokens"] * share, "flops": cell["flops"] * share},
    "code": version.version(),
  }
  return {"class": "pruned", "reason": reason, "found": found}
