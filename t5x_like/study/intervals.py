"""Intervals: how sure a fit is of its constants, and which it does not know at all.

You are in: t5x_like/study, pure part. Upstream: fit.py. Downstream: allocation.py,
verbs.py. Two ways, because they fail differently: the bootstrap repeats the estimate on
resampled points; the profile asks how much worse the best fit becomes when one constant
is held elsewhere, and alone can say that nothing rules out a value.

Shapes: R resamples, n points, P constants.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import stats

from t5x_like.study.fit import Fit
from t5x_like.study.laws import Inputs, Law

# Relative gains below which a resample's descent ends. What statistics can see is 1 / n.
ENOUGH = 1e-9


def bootstrap(
  found: Fit,
  *,
  count: int = 1000,
  seed: int = 0,
  groups: np.ndarray | None = None,
) -> np.ndarray:
  """theta [R, P]: the estimate on points drawn anew, with replacement.

  groups: [n] labels; then whole groups are drawn, which is right where points of one
  budget, trunk or seed share an error. None draws points.
  """
  weights = multiplicities(len(found.problem.y), count, seed, groups)
  starts = np.repeat(found.theta[None], count, axis=0)
  return found.problem.solve(starts, weights=weights, tolerance=ENOUGH)[0]


def multiplicities(
  points: int, count: int, seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
  """[R, n]: how often each resample contains each point."""
  rng = np.random.default_rng(seed)
  if groups is None:
    groups = np.arange(points)
  _, member = np.unique(groups, return_inverse=True)
  total = member.max() + 1
  if total < 2:
    raise ValueError("resampling groups needs at least 2 of them; there is 1.")
  drawn = rng.multinomial(total, np.full(total, 1 / total), size=count)
  return drawn[:, member].astype(float)


def percentile(samples: np.ndarray, level: float = 0.95) -> np.ndarray:
  """[2, ...]: the middle `level` of samples [R, ...]."""
  tail = (1 - level) / 2
  return np.quantile(samples, [tail, 1 - tail], axis=0)


def bca(
  found: Fit, samples: np.ndarray, level: float = 0.95, most: int = 500
) -> np.ndarray:
  """[2, P] of theta: bias-corrected and accelerated (Efron 1987, JASA 82).

  The acceleration comes from the fits that leave out one point each; of more than `most`
  points, from as many fits that leave out equal random parts (the sums over points of
  squared and cubed influences, which it is made of, are those over parts on average).
  """
  points = len(found.problem.y)
  part = np.random.default_rng(0).permutation(points) % min(points, most)
  left_out = 1.0 - (part == np.unique(part)[:, None])
  starts = np.repeat(found.theta[None], len(left_out), axis=0)
  jackknife = found.problem.solve(starts, weights=left_out)[0]
  return bca_interval(samples, found.theta, jackknife, level)


def bca_interval(
  samples: np.ndarray, estimate: np.ndarray, jackknife: np.ndarray, level: float
) -> np.ndarray:
  """[2, P] from samples [R, P], estimate [P] and leave-one-out estimates [n, P]."""
  spread = jackknife.mean(axis=0) - jackknife
  scale = (spread**2).sum(axis=0) ** 1.5
  acceleration = np.divide(
    (spread**3).sum(axis=0), 6 * scale, out=np.zeros_like(scale), where=scale > 0
  )
  below = (samples < estimate).mean(axis=0) + (samples == estimate).mean(axis=0) / 2
  resamples = len(samples)
  bias = stats.norm.ppf(below.clip(0.5 / resamples, 1 - 0.5 / resamples))
  ends = []
  for tail in ((1 - level) / 2, (1 + level) / 2):
    z = bias + stats.norm.ppf(tail)
    quantile = stats.norm.cdf(bias + z / (1 - acceleration * z))
    ends.append([np.quantile(samples[:, p], q) for p, q in enumerate(quantile)])
  return np.array(ends)


def predict(
  found: Fit,
  samples: np.ndarray,
  x: Inputs,
  *,
  interval: str = "mean",
  level: float = 0.95,
  seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
  """(values [m], ends [2, m]) at inputs x {name: [m]}, from resampled theta [R, P].

  interval: "mean", where the law itself is believed to be; or "new_run", where one more
  run would fall, which adds a residual of the fit to every sample. Neither knows whether
  the law still holds beyond its points.
  """
  if interval not in ("mean", "new_run"):
    raise ValueError(f"interval = {interval!r} must be 'mean' or 'new_run'.")
  law = found.problem.law
  x = {name: np.atleast_1d(np.asarray(x[name], float)) for name in law.inputs}
  drawn = law.response(samples, x)
  if interval == "new_run":
    residual = found.problem.residuals(found.theta)
    if law.in_log and not found.problem.in_log:
      residual = residual / found.law(**found.problem.x)
    drawn = drawn + np.random.default_rng(seed).choice(residual, drawn.shape)
  ends = percentile(drawn, level)
  return found.law(**x), np.exp(ends) if law.in_log else ends


@dataclasses.dataclass(frozen=True)
class Compared:
  """Constants from elsewhere on these points.

  ratio: their objective over the fit's. deviance: chi-squared with as many degrees of
  freedom as constants were fitted, if they were the true ones; p: its tail.
  """

  objective: float
  ratio: float
  deviance: float
  p: float


def compare(found: Fit, law: Law) -> Compared:
  """How well published constants fit the same points; p small: they are ruled out."""
  objective = float(found.problem.objective(law.theta))
  deviance = 2 * (objective - found.objective) / spread_per_objective(found)
  p = float(stats.chi2.sf(deviance, found.problem.free.sum()))
  return Compared(objective, objective / found.objective, deviance, p)


@dataclasses.dataclass(frozen=True)
class Profile:
  """The best objective with one constant held at each value.

  deviance is 0 at the estimate and chi-squared with one degree of freedom where the
  value held is the true one. low and high end the region below `limit`; infinite where
  the search ended without leaving it.
  """

  name: str
  values: np.ndarray
  objective: np.ndarray
  deviance: np.ndarray
  estimate: float
  limit: float
  low: float
  high: float

  @property
  def words(self) -> str | None:
    """What the points do not say about the constant; None when they bound it."""
    ends = np.isfinite([self.low, self.high])
    if ends.all():
      return None
    if ends[0]:
      return (
        f"{self.name} is not identified by these runs: any value above "
        f"{self.low:.3g} fits as well"
      )
    if ends[1]:
      return (
        f"{self.name} is not identified by these runs: any value below "
        f"{self.high:.3g} fits as well"
      )
    return f"{self.name} is not identified by these runs: every value fits as well"


# How far a profile is searched: factors of a positive constant, distances of an exponent.
FARTHEST = {True: np.log(1e4), False: 5.0}


def profile(found: Fit, name: str, *, level: float = 0.95, steps: int = 36) -> Profile:
  """Holds one constant at values on both sides of its estimate and refits the rest.

  Steps grow by a factor: fine near the estimate, where ends of sharp constants are. The
  walk ends when both sides are well beyond the interval.
  """
  names, problem = found.problem.law.names(), found.problem
  if name not in names or not problem.free[names.index(name)]:
    raise ValueError(f"{name!r} was not fitted; choose among {names}.")
  index = names.index(name)
  limit = float(stats.chi2.ppf(level, 1))
  logged = bool(problem.law.logged()[index])
  offsets = FARTHEST[logged] * np.geomspace(2e-4, 1, steps)
  scale = 2 / spread_per_objective(found)
  values, objective = _walk(found, index, offsets, found.objective + 2 * limit / scale)
  deviance = scale * (objective - found.objective)
  centre = found.theta[index]
  ends = [_crossing(centre, values[:, k], deviance[:, k], limit) for k in (0, 1)]
  shown = np.exp if logged else (lambda value: value)
  # exp(-inf) = 0 would look like an end.
  low, high = (float(shown(end)) if np.isfinite(end) else end for end in ends)
  whole = np.concatenate([values[::-1, 0], [centre], values[:, 1]])
  objective = np.concatenate([objective[::-1, 0], [found.objective], objective[:, 1]])
  deviance = scale * (objective - found.objective)
  return Profile(
    name, shown(whole), objective, deviance, float(shown(centre)), limit, low, high
  )


def _walk(found, index, offsets, enough):
  """(values, objectives), [steps, 2]: downwards and upwards of the estimate at once.

  Each refit begins from the solution before it, and from where the last two point.
  """
  held = np.arange(len(found.theta)) == index
  theta = np.stack([found.theta, found.theta])
  before, objectives = theta.copy(), []
  values = found.theta[index] + offsets[:, None] * np.array([-1.0, 1.0])
  for pair in values:
    starts = np.stack([theta, 2 * theta - before])  # [2 starts, 2 sides, P]
    starts[:, :, index] = pair
    tried, reached = found.problem.solve(starts.reshape(4, -1), frozen=held)
    tried, reached = tried.reshape(starts.shape), reached.reshape(2, 2)
    best = reached.argmin(axis=0)
    before, theta = theta, tried[best, [0, 1]]
    objectives.append(reached.min(axis=0))
    if (objectives[-1] > enough).all():
      break
  return values[: len(objectives)], np.array(objectives)


def _crossing(estimate, values, deviance, limit):
  """Where deviance first passes the limit, between searched values; else infinite.

  Linear in the root of deviance, which is a straight line where a profile is a parabola.
  """
  beyond = np.flatnonzero(deviance > limit)
  if not len(beyond):
    return np.inf * np.sign(values[0] - estimate)
  first = beyond[0]
  x = np.array([estimate, *values])[first : first + 2]
  root = np.sqrt(np.maximum([0, *deviance], 0))[first : first + 2]
  return x[0] + (x[1] - x[0]) * (np.sqrt(limit) - root[0]) / (root[1] - root[0])


def spread_per_objective(found: Fit) -> float:
  """What a unit of likelihood-ratio deviance costs in objective, times two.

  Of an M-estimator, twice the objective's rise divided by E psi^2 / E psi' is
  chi-squared (Heritier and Ronchetti 1994, JASA 89). psi' is the share of residuals
  inside delta; where delta is far below their spread that share is taken from a window
  as wide as density estimates need, since few points lie so near.
  """
  problem = found.problem
  residual = problem.residuals(found.theta)
  delta, freedom = problem.huber.delta, len(residual) - int(problem.free.sum())
  inflate = len(residual) / max(freedom, 1)
  if not residual.any():  # as many constants as points, or no noise
    return np.finfo(float).tiny
  if np.isinf(delta):
    return float(np.mean(residual**2) * inflate)
  psi = np.clip(residual, -delta, delta)
  size = np.abs(residual)
  window = max(delta, 1.06 * 1.4826 * np.median(size) * len(residual) ** -0.2)
  share = np.mean(size <= window) * delta / window
  return float(np.mean(psi**2) / share * inflate)


@dataclasses.dataclass(frozen=True)
class Identified:
  """Profiles of all fitted constants, and the words of those that have no end.

  condition: of the least-squares problem of the constants at the estimate.
  """

  condition: float
  profiles: dict[str, Profile]

  @property
  def words(self) -> tuple[str, ...]:
    found = (profile.words for profile in self.profiles.values())
    return tuple(line for line in found if line is not None)


def identified(found: Fit, *, level: float = 0.95) -> Identified:
  """Profiles every fitted constant."""
  law: type[Law] = found.problem.law
  names = [n for n, free in zip(law.names(), found.problem.free, strict=True) if free]
  _, slope = law.with_slope(found.theta, found.problem.x)
  return Identified(
    float(np.linalg.cond(slope[:, found.problem.free])),
    {name: profile(found, name, level=level) for name in names},
  )
