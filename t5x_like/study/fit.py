"""Fitting: one law to measured points, robustly, and how well it extrapolates.

You are in: t5x_like/study, pure part. Upstream: laws.py, starts.py, levenberg.py.
Downstream: intervals.py (how sure), allocation.py (what follows for a budget), verbs.py.

The estimate is Huber's on logarithms of losses (Hoffmann et al. 2022, section 3.3), the
sum over points, from every start; the lowest end wins. Nothing is dropped here: what a
caller leaves out is an argument of the caller and part of its report.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from t5x_like.study.laws import Inputs, Law, SumOfPowers, slope_of_sum
from t5x_like.study.levenberg import Huber, minimize
from t5x_like.study.starts import starts as searched


@dataclasses.dataclass(frozen=True)
class Problem:
  """A law, the points it should pass, and what is held fixed.

  x: {input: [n]}; y [n], values as measured; fixed: {constant: value}.
  """

  law: type[Law]
  x: Inputs
  y: np.ndarray
  huber: Huber = Huber()
  fixed: tuple[tuple[str, float], ...] = ()

  @property
  def in_log(self) -> bool:
    """Whether residuals are taken between logarithms."""
    return self.law.in_log and self.huber.space == "log"

  @property
  def target(self) -> np.ndarray:
    """[n], on the scale on which residuals are taken."""
    return np.log(self.y) if self.in_log else self.y

  @property
  def free(self) -> np.ndarray:
    """[P] of bool."""
    fixed = dict(self.fixed)
    return np.array([name not in fixed for name in self.law.names()])

  def placed(self, theta: np.ndarray) -> np.ndarray:
    """[..., P] with the fixed constants at their values."""
    theta = np.array(theta, float)
    for name, value in self.fixed:
      index = self.law.names().index(name)
      theta[..., index] = np.log(value) if name in self.law.positive else value
    return theta

  def residuals(self, theta: np.ndarray) -> np.ndarray:
    """[..., P] -> [..., n]: measured minus predicted."""
    response = self.law.response(theta, self.x)
    if self.law.in_log and not self.in_log:
      response = np.exp(response)
    return self.target - response

  def objective(self, theta: np.ndarray) -> np.ndarray:
    """[..., P] -> [...]: the sum that a fit makes smallest, e.g. of published constants."""
    return self.huber(self.residuals(theta)).sum(axis=-1)

  def subset(self, keep: np.ndarray) -> Problem:
    """The problem of some of the points; keep: [n] of bool, or indices."""
    x = {name: values[keep] for name, values in self.x.items()}
    return dataclasses.replace(self, x=x, y=self.y[keep])

  def solve(
    self,
    starts: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    frozen: np.ndarray | None = None,
    tolerance: float = 1e-12,
  ) -> tuple[np.ndarray, np.ndarray]:
    """(theta [S, P], objective [S]) from starts [S, P]; frozen: [P] of bool, more.

    A constant is held by a slope of zero: it stays where its start put it, which may be
    elsewhere in every row.
    """
    moving = self.free if frozen is None else self.free & ~frozen
    x, order, begins = distinct(self.x)
    terms = self.law.terms(x) if issubclass(self.law, SumOfPowers) else None

    def slope(theta):
      if terms is None:
        response, derivative = self.law.with_slope(theta, x)
      else:
        response, derivative = slope_of_sum(theta, terms)
      if self.law.in_log and not self.in_log:
        response = np.exp(response)
        derivative = derivative * response[..., None]
      return response, derivative * moving

    return minimize(
      slope,
      self.target[order],
      self.placed(starts),
      huber=self.huber,
      weights=None if weights is None else weights[..., order],
      begins=begins,
      tolerance=tolerance,
    )


def distinct(x: Inputs) -> tuple[Inputs, np.ndarray, np.ndarray | None]:
  """(different inputs {input: [u]}, order [n] that sorts points by them, begins [u]).

  begins: where the points of each input begin in that order; None where all differ.
  """
  rows = np.stack(list(x.values()), axis=-1)
  found, place, counts = np.unique(
    rows, axis=0, return_inverse=True, return_counts=True
  )
  if len(found) == len(rows):
    return x, np.arange(len(rows)), None
  order = np.argsort(place.ravel(), kind="stable")
  begins = np.cumsum(counts) - counts
  return dict(zip(x, found.T, strict=True)), order, begins


@dataclasses.dataclass(frozen=True)
class Fit:
  """The estimate and what it was made from."""

  law: Law
  objective: float
  problem: Problem
  arrived: float  # share of the starts that ended at the lowest objective

  @property
  def theta(self) -> np.ndarray:
    """[P]."""
    return self.law.theta

  @property
  def r_squared(self) -> float:
    """Share of the variance of the values (not of their logarithms) explained."""
    y = self.problem.y
    left = y - self.law(**self.problem.x)
    return float(1 - np.sum(left**2) / np.sum((y - y.mean()) ** 2))

  @property
  def fingerprint(self) -> str:
    """Twelve hex digits of the points and of what was asked of them."""
    digest = hashlib.sha256(
      repr((type(self.law).__name__, self.problem.fixed)).encode()
    )
    digest.update(repr(self.problem.huber).encode())
    for name in sorted(self.problem.x):
      digest.update(
        name.encode() + np.ascontiguousarray(self.problem.x[name]).tobytes()
      )
    digest.update(np.ascontiguousarray(self.problem.y).tobytes())
    return digest.hexdigest()[:12]


def fit(
  law: type[Law],
  x: Inputs,
  y: np.ndarray,
  *,
  huber: Huber = Huber(),
  fixed: dict[str, float] | None = None,
  starts: np.ndarray | None = None,
) -> Fit:
  """The law that fits best.

  x: {input: [n]}, y: [n], both positive. starts: [S, P], by default those of the law's
  own search (`starts.chinchilla_grid()` is the paper's). Raises ValueError when points
  are missing, not positive, or fewer than the constants.
  """
  x = {name: np.asarray(x[name], float) for name in _checked(law, x, y, fixed or {})}
  held = tuple(sorted((fixed or {}).items()))
  law.check(x)
  problem = Problem(law, x, np.asarray(y, float), huber, held)
  begin = searched(law, x, problem.y) if starts is None else starts
  theta, objective = problem.solve(begin)
  best = int(np.argmin(objective))
  lowest = float(objective[best])
  if not np.isfinite(lowest):
    raise ValueError(
      f"no start led anywhere: {law.__name__} is not finite at these points. Check the "
      "units of the columns (parameters and tokens, not millions of them)."
    )
  arrived = float(np.mean(objective <= lowest * (1 + 1e-6) + 1e-15))
  return Fit(law.from_theta(theta[best]), lowest, problem, arrived)


def _checked(law, x, y, fixed):
  """The law's inputs, after all that can be wrong with points."""
  missing = [name for name in law.inputs if name not in x]
  if missing:
    raise ValueError(f"{law.__name__} needs {law.inputs}; missing: {missing}.")
  unknown = sorted(set(fixed) - set(law.names()))
  if unknown:
    raise ValueError(
      f"{law.__name__} has no constants {unknown}; it has {law.names()}."
    )
  count, constants = len(y), len(law.names()) - len(fixed)
  if count < constants:
    raise ValueError(
      f"{count} points cannot fix the {constants} constants of {law.__name__}. Measure "
      "more, or hold constants fixed."
    )
  for name, values in [*((name, x[name]) for name in law.inputs), ("y", y)]:
    values = np.asarray(values, float)
    if len(values) != count:
      raise ValueError(f"{name} has {len(values)} values for {count} points.")
    signed = name == "y" and not law.in_log  # accuracies may be 0
    bad = np.flatnonzero(~np.isfinite(values) | (values <= 0) & (not signed))
    if len(bad):
      rule = "finite" if signed else "finite and above 0"
      raise ValueError(
        f"{name}[{bad[0]}] = {values[bad[0]]}: every value must be {rule} "
        f"({len(bad)} are not). Leave such runs out and say so."
      )
  return law.inputs


@dataclasses.dataclass(frozen=True)
class HeldOut:
  """A fit without the largest runs, and how far it is from them."""

  kept: int
  dropped: int
  reach: float  # largest cost dropped over largest cost kept
  errors: np.ndarray  # [dropped]: predicted / measured - 1

  @property
  def mean_absolute(self) -> float:
    return float(np.abs(self.errors).mean())


def held_out(found: Fit, cost: np.ndarray, *, share: float = 0.2) -> HeldOut | None:
  """Refits without the `share` of the points of highest cost [n]; predicts those.

  The error that matters: laws are used beyond their points. Ties with the cheapest
  dropped point are dropped too, so that a whole rung is unseen. None when too few points
  are left to fit.
  """
  problem = found.problem
  limit = np.quantile(cost, 1 - share)
  kept = cost < limit * (1 - 1e-9)
  if kept.sum() < problem.free.sum() + 1 or kept.all():
    return None
  small = problem.subset(kept)
  theta, objective = small.solve(
    np.concatenate([searched(problem.law, small.x, small.y), found.theta[None]])
  )
  law = problem.law.from_theta(theta[np.argmin(objective)])
  unseen = problem.subset(~kept)
  errors = law(**unseen.x) / unseen.y - 1
  reach = float(cost[~kept].max() / cost[kept].max())
  return HeldOut(int(kept.sum()), int((~kept).sum()), reach, errors)
