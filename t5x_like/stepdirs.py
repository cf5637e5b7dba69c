"""Step directories: how the checkpoints of one run lie on disk, and move there.

You are in: t5x_like, without JAX. Downstream: `checkpoint.py`. Every change is one
rename, so that a process killed at any moment leaves each step whole, or under a name
that nothing reads:

    <root>/200/            a step that was complete when it got this name
    <root>/saving-300-0*/  being written, or left by a process that was killed
    <root>/deleting-100/   being deleted, or left by a process that was killed
    <root>/corrupt/400/    found damaged and set aside; safe to delete
    <root>/abandoned/500/  later than a step that was restored by number
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from pathlib import Path

from t5x_like import leaves, manifest

LOG = logging.getLogger(__name__)
SAVING, DELETING = "saving-", "deleting-"
CORRUPT, ABANDONED = "corrupt", "abandoned"
Metrics = dict[str, float] | None


class CheckpointError(RuntimeError):
  """A save did not become durable, or no saved step can be used."""


def reason(error: BaseException) -> str:
  """The operating system's words where there are any; tensorstore wraps them in 500."""
  text = " ".join(str(error).split())
  code = re.search(r"os_error_code='(\d+)'", text)
  return os.strerror(int(code[1])) if code else text[:200]


class StepDirectories:
  """The steps below one root. Reading changes nothing on disk."""

  def __init__(self, root: Path):
    self.root = root
    self._verified: set[int] = set()

  def path(self, step: int) -> Path:
    return self.root / str(step)

  def saving(self, step: int, attempt: int) -> Path:
    """Where a step is written. Threads of a failed attempt may still write to theirs."""
    return self.root / f"{SAVING}{step}-{attempt}"

  def listed(self) -> list[int]:
    """Steps with a directory of their name, ascending; its content may be anything."""
    if not self.root.is_dir():
      return []
    names = [entry.name for entry in os.scandir(self.root) if entry.is_dir()]
    return sorted(int(n) for n in names if n.isdecimal() and n == str(int(n)))

  def complete(self) -> list[int]:
    """Steps that were once written to the end, ascending; not verified."""
    return [s for s in self.listed() if (self.path(s) / manifest.FILE).is_file()]

  def newest(self) -> int | None:
    """The newest undamaged step; None if there is no step. Warns of each damaged one.

    Raises:
      CheckpointError: there are steps and all are damaged. Starting anew beside them
        would hide that.
    """
    reasons = []
    for step in reversed(self.listed()):
      reason = self.damage(step)
      if reason is None:
        return step
      reasons.append(f"{step}: {reason}")
      LOG.warning("checkpoint %d in %s is damaged (%s)", step, self.root, reason)
    if reasons:
      raise CheckpointError(
        f"No checkpoint in {self.root} can be used ({leaves.shortened(reasons)}). "
        "Move these directories away to start anew."
      )
    return None

  def check(self, step: int) -> None:
    """Raises ValueError if there is no such step, CheckpointError if it is damaged."""
    if step not in self.listed():
      raise ValueError(
        f"There is no step {step} in {self.root}; there are {self.complete()}."
      )
    reason = self.damage(step)
    if reason is not None:
      raise CheckpointError(f"Checkpoint {self.path(step)} is damaged: {reason}.")

  def damage(self, step: int) -> str | None:
    """As `manifest.damage`; a good step is read through only once."""
    if step in self._verified:
      return None
    reason = manifest.damage(self.path(step), step=step)
    if reason is None:
      self._verified.add(step)
    return reason

  def claim(self, head: int | None) -> dict[int, Metrics]:
    """Prepares for writing after step `head`; returns the older steps' metrics.

    Only for the one process that writes here: another's half-written save would go.
    """
    self.root.mkdir(parents=True, exist_ok=True)
    self.sweep()
    metrics: dict[int, Metrics] = {}
    for step in self.listed():
      if head is None or step > head:
        self._set_aside(step, CORRUPT if self.damage(step) else ABANDONED)
        continue
      try:
        metrics[step] = manifest.read(self.path(step))["metrics"]
      except ValueError:
        self._set_aside(step, CORRUPT)
    return metrics

  def publish(self, step: int, written: Path) -> None:
    """Gives a completely written step its name."""
    os.rename(written, self.path(step))
    manifest.sync(self.root)
    self._verified.add(step)

  def delete(self, step: int) -> None:
    """Deletes a step; what cannot be deleted is reported and swept up later."""
    doomed = self.root / f"{DELETING}{step}"
    try:
      os.rename(self.path(step), doomed)
      shutil.rmtree(doomed)
    except OSError as error:
      LOG.warning("checkpoint %d in %s was not deleted: %s", step, self.root, error)
    self._verified.discard(step)

  def sweep(self) -> None:
    """Deletes what is half written or half deleted."""
    for entry in os.scandir(self.root):
      if entry.name.startswith((SAVING, DELETING)):
        shutil.rmtree(entry.path, ignore_errors=True)

  def _set_aside(self, step: int, folder: str) -> None:
    target = self.root / folder / str(step)
    number = 1
    while target.exists():
      number += 1
      target = self.root / folder / f"{step}-{number}"
    target.parent.mkdir(exist_ok=True)
    os.rename(self.path(step), target)
    self._verified.discard(step)
    LOG.warning("checkpoint %d moved to %s; delete it when you like", step, target)
