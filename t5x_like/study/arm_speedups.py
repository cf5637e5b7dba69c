"""Speed-ups of arms by laws: what the baseline would have to spend for the same loss.

You are in: t5x_like/study, pure part. Upstream: rows of measured.py, arm_laws.py.
Downstream: the report. Unlike a speed-up read off learning curves this one compares runs
that were planned to end where they did, so that schedules favour nobody.
"""

from __future__ import annotations

import numpy as np

from t5x_like.study import arm_grids, arm_laws, speedup
from t5x_like.study.intervals import bootstrap


def speedups(
  rows: list[dict], arms: list[str], baseline: str, *, resamples: int, seed: int = 0
) -> list[dict]:
  """One dict for each arm with a law beside the baseline's: {"arm", "flops" (the largest
  budget fitted), "factor", "interval" (None: no end), "crossings" (FLOPs within the
  range at which the better of the two changes)}.
  """
  found = [
    _speedup(rows, arm, baseline, resamples, seed) for arm in arms if arm != baseline
  ]
  return [each for each in found if each is not None]


def _speedup(rows: list[dict], arm: str, baseline: str, resamples: int, seed: int):
  base, own = _pairs(rows, arm, baseline)
  if arm_grids.separates(base) or arm_grids.separates(own):
    return None  # laws of two variables: which N would be compared?
  for law in arm_laws.of_compute(base):
    try:
      return {"arm": arm} | _by_laws(law, base, own, resamples, seed)
    except arm_laws.DEGENERATE:
      continue  # both have to follow the same; the report says so beside the laws
  return None


def _by_laws(
  law: type, base: list[dict], own: list[dict], resamples: int, seed: int
) -> dict:
  estimates, samples = [], []
  for group in (base, own):
    estimates.append(arm_laws.fit_falling(law, group))
    # The same seed draws the same pairs for both, so that what they share cancels.
    samples.append(bootstrap(estimates[-1], count=resamples, seed=seed))
  budgets = [row["flops"] for row in base]
  top = max(budgets)
  laws = [estimate.law for estimate in estimates]
  ends = speedup.multiplier_interval(law, *samples, top)
  return {
    "flops": float(top),
    "factor": _finite(speedup.multiplier(*laws, top)),
    "interval": [_finite(end) for end in ends],
    "crossings": list(speedup.crossings(*laws, min(budgets), top)),
  }


def _pairs(rows: list[dict], arm: str, baseline: str) -> tuple[list, list]:
  """Runs of the baseline and of the arm that have a partner, in the same order."""
  by_name: dict[str, dict] = {arm: {}, baseline: {}}
  for row in rows:
    if row["arm"] in by_name and row["value"] is not None and not row["held_out"]:
      by_name[row["arm"]][row["point"], row["seed"]] = row
  both = [key for key in by_name[baseline] if key in by_name[arm]]
  return tuple([by_name[name][key] for key in both] for name in (baseline, arm))


def _finite(value: float) -> float | None:
  return float(value) if np.isfinite(value) else None
