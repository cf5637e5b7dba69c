"""Retention: which saved steps stay on disk.

You are in: t5x_like, pure part. Downstream: `checkpoint.py`, which deletes the others
after a newer step is durable.
"""

from __future__ import annotations

import dataclasses
import math

MODES = {"min": min, "max": max}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retention:
  """The newest `keep` steps, multiples of `keep_every`, `keep_steps`, the best step.

  keep: at least 2, so that a damaged newest step has one to fall back to; None keeps
  all. best_metric: name of a saved metric; best_mode: "min" or "max" of it is best.
  """

  keep: int | None = 3
  keep_every: int | None = None
  keep_steps: tuple[int, ...] = ()
  best_metric: str | None = None
  best_mode: str = "min"

  def __post_init__(self):
    if self.keep is not None and self.keep < 2:
      raise ValueError(
        f"keep={self.keep}: at least 2 checkpoints are kept, so that a damaged one "
        "has one to fall back to. Use keep=2 or more, or None to keep all."
      )
    if self.keep_every is not None and self.keep_every < 1:
      raise ValueError(f"keep_every={self.keep_every} must be at least 1, or None.")
    if self.best_mode not in MODES:
      raise ValueError(f"best_mode={self.best_mode!r} must be one of {sorted(MODES)}.")

  def kept(self, metrics: dict[int, dict[str, float] | None]) -> set[int]:
    """Of these saved steps (with their metrics), those that stay."""
    steps = sorted(metrics)
    if self.keep is None:
      return set(steps)
    stay = set(steps[-self.keep :]) | set(steps).intersection(self.keep_steps)
    if self.keep_every:
      stay |= {step for step in steps if step % self.keep_every == 0}
    best = self.best(metrics)
    return stay if best is None else stay | {best}

  def best(self, metrics: dict[int, dict[str, float] | None]) -> int | None:
    """The step with the best metric; the newest of equals. None if none has it."""
    values = {}
    for step in sorted(metrics, reverse=True):
      value = (metrics[step] or {}).get(self.best_metric)
      if value is not None and math.isfinite(value):
        values[step] = value
    return MODES[self.best_mode](values, key=values.get) if values else None
