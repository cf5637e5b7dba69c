"""Store: a study's directory. Run directories are the truth; all else follows from them.

You are in: t5x_like/study, the edge (standard library only). Upstream: cells.py, once.
Downstream: workers, status, comparisons.

    plan.json               the cells, and how one is run
    configs/<digest>.gin    the configuration of an arm at a point, complete
    runs/<ab>/<address>/    a run directory, with attempts/ (claims.py) and result.json
    compiled/               compiled programs, shared by all runs
    index.sqlite            a cache of results (index.py); may be deleted
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from pathlib import Path

from t5x_like.study import claims

RETRIES = 2  # after a run was killed by a signal it could not answer
FINAL = ("done", "diverged", "pruned")
ENDED = (*FINAL, "failed")


@dataclasses.dataclass(frozen=True)
class State:
  """name: queued, running, done, diverged, failed, or pruned (trials of a search)."""

  name: str
  reason: str = ""
  attempts: int = 0
  result: dict | None = None


class Store:
  """A study's directory."""

  def __init__(self, root: str | Path):
    self.root = Path(root).expanduser().absolute()

  @functools.cached_property
  def plan(self) -> dict:
    """What `write_plan` wrote. Raises ValueError where there is none."""
    try:
      return json.loads((self.root / "plan.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
      raise ValueError(
        f"{self.root} holds no plan.json; run `t5x_like study plan` or `study run` with "
        "the study's gin file first."
      ) from None

  @property
  def queue(self) -> list[dict]:
    """All that is run: the trials of searches, then the cells that are compared."""
    return [*self.plan.get("trials", ()), *self.plan["cells"]]

  def write_plan(self, plan: dict, texts: dict[str, str]) -> None:
    """Makes the directory. Writing the same plan twice, or at once, does no harm."""
    (self.root / "configs").mkdir(parents=True, exist_ok=True)
    for digest, text in texts.items():
      replace(self.root / "configs" / f"{digest}.gin", text)
    replace(self.root / "plan.json", json.dumps(plan, indent=1) + "\n")
    self.__dict__.pop("plan", None)

  def folder(self, cell: dict) -> Path:
    """The run directory of a cell."""
    return self.root / "runs" / cell["address"][:2] / cell["address"]

  def config(self, cell: dict) -> Path:
    """The gin file of a cell."""
    return self.root / "configs" / f"{cell['config']}.gin"

  def result(self, cell: dict) -> dict | None:
    """How the cell ended, if it did."""
    try:
      return json.loads((self.folder(cell) / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
      return None

  def ended(self, address: str) -> tuple[str, float | None, list] | None:
    """(state, value, curve) of a run that came to an end; None before it."""
    found = self.result({"address": address})
    return found and (found["state"], found["value"], found["curve"])

  def state(self, cell: dict, *, now: float, expiry: float = claims.EXPIRY) -> State:
    """Where a cell is, from its files."""
    found = self.result(cell)
    if found is not None:
      return State(found["state"], found["reason"], found["attempt"], found)
    folder = self.folder(cell) / "attempts"
    number = claims.newest(folder)
    if not number:
      return State("queued")
    ended = claims.last_exit(self.folder(cell))
    if ended is None:
      if claims.is_held(folder, number, expiry=expiry, now=now):
        return State("running", attempts=number)
      return State("queued", "its worker is gone", number)
    if ended["class"] == "failed" and not ended.get("forgiven"):
      return State("failed", ended["reason"], number)
    if ended["class"] == "killed" and _killed(folder) > RETRIES:
      return State("failed", f"{ended['reason']}, {RETRIES + 1} times", number)
    return State("queued", ended["reason"], number)

  def states(self, *, expiry: float = claims.EXPIRY) -> dict[str, State]:
    """Address -> state, of all that is run."""
    now = claims.clock(self.root)
    return {c["address"]: self.state(c, now=now, expiry=expiry) for c in self.queue}

  def forgive(self) -> int:
    """Puts failed cells back into the queue; returns how many."""
    states, count = self.states(), 0
    for cell in self.queue:
      if states[cell["address"]].name == "failed":
        folder = self.folder(cell) / "attempts"
        for path in folder.glob("*.exit"):
          how = json.loads(path.read_text()) | {"forgiven": True}
          replace(path, json.dumps(how))
        count += 1
    return count

  def write_result(self, cell: dict, claim: claims.Claim, found: dict) -> bool:
    """Writes result.json, once; False when the claim was lost or it exists."""
    if not claim.held():
      return False
    names = ("arm", "point", "seed", "params", "tokens", "flops", "steps", "comparable")
    found = found | {"attempt": claim.number, "address": cell["address"]}
    found |= {name: cell[name] for name in names}
    return claims.write_once(self.folder(cell) / "result.json", found)


def replace(path: Path, text: str) -> None:
  """Writes a whole file; readers see the old one or the new one."""
  new = path.with_name(f".{path.name}-{os.getpid()}")
  with open(new, "w", encoding="utf-8") as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  os.replace(new, path)


def _killed(folder: Path) -> int:
  """Attempts that a signal ended and nobody has forgiven."""
  ends = [json.loads(path.read_text()) for path in folder.glob("*.exit")]
  return sum(end["class"] == "killed" and not end.get("forgiven") for end in ends)
