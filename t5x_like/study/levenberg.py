"""Huber regression from thousands of starts at once, in float64.

You are in: t5x_like/study, pure part (numpy only). Upstream: laws.py (response and
slope), starts.py. Downstream: fit.py. Every start is a row of an array and takes its own
Levenberg-Marquardt steps (Marquardt 1963); rows that arrived leave the array.

Why not L-BFGS, which the papers use: its stopping rule compares absolute gradients, and
objectives of scaling laws are about 1e-3, so that averaging instead of summing makes it
stop early at other constants. Here only relative changes stop a row.

Shapes: S starts, n points, u different inputs of points, P constants.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

Slope = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
CACHED = 2**16  # numbers of [S, n] at a time: a block of starts that stays in a cache


@dataclasses.dataclass(frozen=True)
class Huber:
  """Squares up to `delta`, straight lines beyond: r^2 / 2, or delta (|r| - delta / 2).

  Hoffmann et al. (2022) take delta = 1e-3 on logarithms of losses, where most residuals
  are larger: nearly least absolute deviations. delta = inf is least squares. space:
  "log" for residuals between logarithms, "plain" for those between values.
  """

  delta: float = 1e-3
  space: str = "log"

  def __post_init__(self):
    if not self.delta > 0 or self.space not in ("log", "plain"):
      raise ValueError(
        f"{self}: delta must be above 0 (inf is least squares) and space 'log' or 'plain'."
      )

  def __call__(self, residual: np.ndarray) -> np.ndarray:
    size = np.abs(residual)
    if np.isinf(self.delta):
      return size**2 / 2
    inside = np.minimum(size, self.delta)
    return inside * (size - inside / 2)


def minimize(
  slope: Slope,
  y: np.ndarray,
  starts: np.ndarray,
  *,
  huber: Huber,
  weights: np.ndarray | None = None,
  begins: np.ndarray | None = None,
  steps: int = 500,
  tolerance: float = 1e-12,
) -> tuple[np.ndarray, np.ndarray]:
  """(theta [S, P], objective [S]): from each start, downhill until nothing changes.

  slope: theta [S, P] -> (response [S, n], derivative [S, n, P]). y [n]; weights [n] or
  [S, n] multiply each point's term of the sum (a bootstrap's multiplicities). begins [u]:
  y is sorted by inputs, of which there are u, the first points of each at these indices;
  slope then answers for [S, u]. Repeated runs make u small and this fast.
  """
  starts = np.atleast_2d(np.asarray(starts, float))
  weights = np.ones(len(y)) if weights is None else np.asarray(weights, float)
  weights = np.broadcast_to(weights, (len(starts), len(y)))
  theta, objective = np.empty_like(starts), np.empty(len(starts))
  linearized = functools.partial(_linearized, slope, y, huber=huber, begins=begins)
  block = max(1, CACHED // len(y))
  for first in range(0, len(starts), block):
    rows = slice(first, first + block)
    theta[rows], objective[rows] = _descend(
      linearized, starts[rows], weights[rows], steps, tolerance
    )
  return theta, objective


def _descend(linearized, starts, weights, steps, tolerance):
  """One block of rows; a row is done when twelve steps running gained nothing."""
  best, lowest = starts.copy(), np.full(len(starts), np.inf)
  rows = np.arange(len(starts))  # still moving
  theta, damping = starts.copy(), np.full(len(starts), 1.0)
  quiet = np.zeros(len(starts), int)
  state = linearized(theta, weights)
  lowest[:] = state[0]
  for _ in range(steps):
    objective, gradient, newton, majorant = state
    step = _step(gradient, newton, majorant, damping)
    tried = linearized(theta + step, weights)
    better = tried[0] < objective
    with np.errstate(invalid="ignore"):  # inf - inf, of rows that lead nowhere
      gain = np.where(better, (objective - tried[0]) / objective, 0)
    damping = np.where(better, damping / 5, damping * 4).clip(1e-6, 1e15)
    theta = np.where(better[:, None], theta + step, theta)
    state = [
      np.where(better.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
      for new, old in zip(tried, state, strict=True)
    ]
    quiet = np.where(better & (gain > tolerance), 0, quiet + 1)
    done = (quiet >= 12) | (state[0] == 0) | ~np.isfinite(state[0])
    best[rows], lowest[rows] = theta, state[0]
    if done.any():
      keep = ~done
      rows, theta, damping, quiet = rows[keep], theta[keep], damping[keep], quiet[keep]
      state, weights = [part[keep] for part in state], weights[keep]
      if not len(rows):
        break
  return best, lowest


def _linearized(slope, y, theta, weights, *, huber, begins):
  """(objective [S], gradient [S, P], Newton's and the majorant's curvature [S, P, P]).

  Newton's counts only points inside delta, which alone are curved; the majorant replaces
  every line by the parabola that touches it from above (iterated reweighting): its step
  never goes too far but creeps. The first is damped by the second.
  """
  with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
    response, derivative = slope(theta)
    gathered = lambda points: points
    if begins is not None:
      response = np.repeat(response, np.diff(begins, append=len(y)), axis=-1)
      gathered = lambda points: np.add.reduceat(points, begins, axis=-1)
    residual = response - y
    objective = (weights * huber(residual)).sum(axis=-1)
    size = np.abs(residual)
    pull = gathered(weights * np.clip(residual, -huber.delta, huber.delta))
    ratio = gathered(weights * np.minimum(1, huber.delta / np.maximum(size, 1e-300)))
    inside = gathered(weights * (size <= huber.delta))
    transposed = np.swapaxes(derivative, -1, -2)
    gradient = (transposed @ pull[..., None])[..., 0]
    majorant = (transposed * ratio[:, None, :]) @ derivative
    newton = (transposed * inside[:, None, :]) @ derivative
  objective = np.where(np.isfinite(objective), objective, np.inf)
  return objective, gradient, newton, majorant


def _step(gradient, newton, majorant, damping):
  """Damped steps [S, P]; a small multiple of the diagonal keeps flat directions finite."""
  diagonal = np.einsum("spp->sp", majorant)
  ridge = (1e-9 * damping)[:, None] * diagonal + 1e-300
  curvature = newton + damping[:, None, None] * majorant
  curvature = curvature + ridge[:, :, None] * np.eye(gradient.shape[-1])
  scale = 1 / np.sqrt(np.einsum("spp->sp", curvature))
  curvature = curvature * scale[:, :, None] * scale[:, None, :]
  curvature = np.where(np.isfinite(curvature), curvature, 0) + 1e-14 * np.eye(
    gradient.shape[-1]
  )
  solved = np.linalg.solve(curvature, (np.nan_to_num(gradient) * scale)[..., None])
  return -solved[..., 0] * scale
