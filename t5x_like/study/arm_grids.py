"""Grids of arms: for each budget of FLOPs, the size that loses least.

You are in: t5x_like/study, pure part. Upstream: rows of measured.py, of studies with an
axis `sweep.Isoflop`. Downstream: the report. The parabolas are isoflop.py's, with its
bias; the law of N and D that arm_laws.py fits to the same runs has none.
"""

from __future__ import annotations

import numpy as np

from t5x_like.study.intervals import percentile
from t5x_like.study.isoflop import isoflop, isoflop_samples

SIZES = 3  # at a budget, for a parabola; of several lengths, for a law of N and D
LEAST_RESAMPLES = 100


def budgets(rows: list[dict]) -> np.ndarray:
  """[n]: FLOPs to two digits; steps are whole, so that runs of a budget differ a little."""
  return np.array([float(f"{row['flops']:.1e}") for row in rows])


def is_grid(rows: list[dict]) -> bool:
  """Whether some budget was spent on several sizes."""
  sizes: dict[float, set[int]] = {}
  for row, budget in zip(rows, budgets(rows), strict=True):
    sizes.setdefault(budget, set()).add(row["params"])
  return max(map(len, sizes.values()), default=0) >= SIZES


def separates(rows: list[dict]) -> bool:
  """Whether N and D vary apart, so that a law of both can be told from one of compute: on
  a grid, or where several sizes were trained for several lengths."""
  lengths: dict[int, set[float]] = {}
  for row in rows:
    lengths.setdefault(row["params"], set()).add(float(f"{row['tokens']:.1e}"))
  return is_grid(rows) or sum(len(own) > 1 for own in lengths.values()) >= SIZES


def grids(
  rows: list[dict], arms: list[str], *, resamples: int, seed: int
) -> list[dict]:
  """For each arm with a grid {"arm", "vertices": [{"flops", "size", "loss", "place"}],
  "exponent" of N_opt ~ C^exponent, "interval"}, or {"arm", "why"} it has none."""
  found = []
  for arm in arms:
    own = [
      row
      for row in rows
      if row["arm"] == arm and row["value"] is not None and not row["held_out"]
    ]
    if is_grid(own):
      found.append({"arm": arm} | _grid(own, resamples, seed))
  return found


def _grid(rows: list[dict], resamples: int, seed: int) -> dict:
  flops = budgets(rows)
  size = np.array([row["params"] for row in rows], float)
  loss = np.array([row["value"] for row in rows])
  try:
    lines = isoflop(flops, size, loss)
  except ValueError as error:
    return {"why": str(error).rstrip(".")}
  drawn = isoflop_samples(flops, size, loss, count=resamples, seed=seed)[:, 0]
  enough = len(drawn) >= LEAST_RESAMPLES  # fewer say nothing of their tails
  return {
    "vertices": [vars(vertex) for vertex in lines.vertices],
    "exponent": lines.n.exponent,
    "interval": percentile(drawn).tolist() if enough else [None, None],
  }
