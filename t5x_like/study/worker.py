"""Worker: takes cells of a study one after another and runs each in a process.

You are in: t5x_like/study, the edge (standard library only, so that it starts at once).
Upstream: launcher.py, or `t5x_like study worker` on any machine that sees the study's
directory. A worker that is killed loses the time since its run's last checkpoint: the
next one that comes by takes the cell over, and `t5x_like train` goes on from there.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from t5x_like.study import branches, claims, outcome, rungs, slots, version
from t5x_like.study.claims import Claim
from t5x_like.study.outcome import PAUSED
from t5x_like.study.store import ENDED, FINAL, Store

POLL = 0.2  # seconds between two looks at the running process
IDLE = 1.0  # ... at cells that others are running
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@dataclasses.dataclass
class Worker:
  """Runs cells until none is left, `most` are done, or a signal asks it to stop.

  slot, slots: which share of the machine's cores is its own. wait: stay while others
  run cells, to take over those whose worker dies.
  """

  store: Store
  slot: int = 0
  slots: int = 1
  most: int | None = None
  wait: bool = True
  heartbeat: float = claims.HEARTBEAT
  expiry: float = claims.EXPIRY
  say: Callable[[str], None] = print

  def __post_init__(self):
    self.stopped = 0  # the signal that asked it to stop
    self.devices = slots.devices(self.slot, self.slots, slots.visible_devices())
    self.child: subprocess.Popen | None = None
    self.ended: set[str] = set()

  def run(self) -> int:
    """Works; returns the number of cells this worker brought to an end."""
    for number in STOPPING:
      signal.signal(number, self._stop)
    slots.own_cores(self.slot, self.slots)
    count = 0
    while not self.stopped and (self.most is None or count < self.most):
      taken = self._next()
      if taken is None:
        if self._all_ended() or not self.wait:
          break
        time.sleep(IDLE)
        continue
      count += self._run_cell(*taken)
    return count

  def _next(self) -> tuple[dict, Claim] | None:
    """The first cell that can be had. Workers begin at different ones."""
    now = claims.clock(self.store.root)
    for cell in self.store.queue:
      if cell["address"] in self.ended:
        continue
      state = self.store.state(cell, now=now, expiry=self.expiry)
      if state.name in ENDED:
        self.ended.add(cell["address"])
      elif state.name == "queued" and not self._waits(cell):
        folder = self.store.folder(cell)
        claim = claims.take(folder, expiry=self.expiry, now=now)
        if claim is not None:
          return cell, claim
    return None

  def _waits(self, cell: dict) -> bool:
    """For other cells, before it can begin or go on."""
    return branches.waits(self.store, cell) or rungs.turn(self.store, cell).waits

  def _all_ended(self) -> bool:
    return len(self.ended) == len({c["address"] for c in self.store.queue})

  def _run_cell(self, cell: dict, claim: Claim) -> bool:
    """One attempt; whether the cell came to an end."""
    if self.store.result(cell) is not None:  # ended between the look and the claim
      claim.end({"class": "done", "reason": "had ended"})
      return False
    name = label(cell)
    begun = time.time()
    turn = rungs.turn(self.store, cell)
    how = branches.lost(self.store, cell) or turn.ended
    if how is None:
      self.say(f"start  {name}" + (f"  attempt {claim.number}" * (claim.number > 1)))
      status = self._train(cell, claim, turn.bindings())
      if status is None:
        self.say(f"lost   {name}  another worker has it")
        return False
      how = self._judge(cell, claim, status) | {"status": status}
      if status == PAUSED and turn.until is not None:
        how |= {"class": "paused", "reason": f"at step {turn.until}"}
    how |= {"seconds": round(time.time() - begun, 3)}
    final = how["class"] in FINAL
    if final:
      found = how.pop("found") | {"seconds": self._seconds(claim) + how["seconds"]}
      found.setdefault("branch", branches.taken(self.store, cell))
      final = self.store.write_result(cell, claim, found)
    claim.end(how)
    self.say(f"{how['class']:<6} {name}  {how['reason']}".rstrip())
    return final or how["class"] == "failed"

  def _train(self, cell: dict, claim: Claim, more: list[str]) -> int | None:
    """Exit status of the run, or None when the claim was lost meanwhile."""
    with open(claim.log, "ab") as log:
      self.child = subprocess.Popen(
        command(self.store, cell, more),
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        cwd=self.store.plan["cwd"],
        env=environment(self.store) | self.devices,
        start_new_session=True,  # a Ctrl-C reaches it once, through this worker
        preexec_fn=lambda: slots.end_with_parent(signal.SIGKILL),
      )
    touched = time.monotonic()
    while (status := self.child.poll()) is None:
      time.sleep(POLL)
      if time.monotonic() - touched < self.heartbeat:
        continue
      touched = time.monotonic()
      if not claim.held():
        self.child.kill()
        self.child.wait()
        return None
      claim.touch()
    self.child = None
    return status if claim.held() else None

  def _judge(self, cell: dict, claim: Claim, status: int) -> dict:
    """{"class", "reason"}, and "found" where there is a result."""
    kind = outcome.classify(status)
    if kind == "killed":
      return {"class": kind, "reason": f"killed by {signal.Signals(-status).name}"}
    if kind == "preempted":
      return {"class": kind, "reason": "stopped after a checkpoint"}
    if kind == "failed":
      words = outcome.last_words(claim.log)
      if "is in use by" in words:  # the run of a killed worker takes a moment to end
        time.sleep(IDLE)
        kind = "preempted"
      return {"class": kind, "reason": words}
    if kind == "diverged":
      found = outcome.diverged(outcome.last_words(claim.log))
    else:
      try:
        metric = self.store.plan["metric"]
        folder = self.store.folder(cell)
        found = outcome.result(folder, metric=metric, steps=cell["steps"])
      except ValueError as error:
        return {"class": "failed", "reason": str(error)}
    # A version that changed during the run is kept with the number it may have changed.
    found["code"] = version.version()
    return {"class": found["state"], "reason": found["reason"], "found": found}

  def _seconds(self, claim: Claim) -> float:
    """Seconds that earlier attempts took, where they lived to tell."""
    total = 0.0
    for number in range(1, claim.number):
      before = claims.read_exit(claim.folder, number) or {}
      total += before.get("seconds", 0.0)
    return total

  def _stop(self, number: int, frame: object) -> None:
    self.stopped = number
    if self.child is not None:
      self.child.send_signal(signal.SIGTERM)  # saves, then ends


def command(store: Store, cell: dict, more: Sequence[str] = ()) -> list[str]:
  """What runs a cell: `t5x_like train`, or what a test put into the plan.

  more: bindings that change nothing but where this attempt ends.
  """
  program, *rest = store.plan["command"]
  words = [
    # The plan may have been made where another Python is, as for a container.
    *(program if os.path.exists(program) else sys.executable, *rest),
    f"--gin_file={store.config(cell)}",
    f"--gin_bindings=run.Run.model_dir = {str(store.folder(cell))!r}",
    f"--gin_bindings=run.Run.seed = {cell['seed']}",
    "--process_count=1",  # the tasks of a scheduler are workers, not parts of a run
  ]
  words += [
    f"--gin_bindings={line}" for line in (*branches.bindings(store, cell), *more)
  ]
  if store.plan["data_dir"]:
    words.append(f"--data_dir={store.plan['data_dir']}")
  return words


def environment(store: Store) -> dict[str, str]:
  """Of a run: compiled programs are shared, however short their compilation was."""
  own = {
    "JAX_COMPILATION_CACHE_DIR": str(store.root / "compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "PYTHONPATH": os.pathsep.join(
      [str(version.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
  }
  return own | dict(os.environ) | {"PYTHONPATH": own["PYTHONPATH"]}


def label(cell: dict) -> str:
  """A cell as people name it: arm, point, seed; or what a trial tries."""
  trial = cell.get("trial")
  last = f"trial={trial['number']}" if trial else f"seed={cell['seed']}"
  tried = setting(trial["values"]) if trial else ""
  return " ".join(filter(None, [cell["arm"], setting(cell["point"]), last, tried]))


def setting(values: dict[str, object]) -> str:
  """Names and values as people write them; numbers with four digits."""
  told = lambda value: f"{value:.4g}" if isinstance(value, float) else value
  return " ".join(f"{short(name)}={told(value)}" for name, value in values.items())


def short(name: str) -> str:
  """The last part of a binding's name."""
  return name.rpartition(".")[2].rpartition("/")[2]
