"""Planning and verdicts: how many seeds a claim needs, and what a family of arms shows.

You are in: t5x_like/study, pure part (numpy, scipy). Upstream: stats.py. Downstream: the
verbs that plan and compare. An arm that is not distinguishable is told with the number
of seeds that would tell it apart, because "no difference" is a claim too.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import special
from scipy import stats as scipy_stats

from t5x_like.study.stats import Difference, bootstrap_mean, holm, paired, welch


def power(
  runs: int, sd: float, difference: float, *, is_paired: bool, alpha=0.05
) -> float:
  """Chance that a two-sided t test of `runs` an arm finds `difference`.

  sd: of one run (unpaired), or of one paired difference.
  """
  freedom = runs - 1 if is_paired else 2 * (runs - 1)
  se = sd / np.sqrt(runs) if is_paired else sd * np.sqrt(2 / runs)
  limit = special.stdtrit(freedom, 1 - alpha / 2)
  shift = abs(difference) / se
  found = scipy_stats.nct.sf(limit, freedom, shift) + scipy_stats.nct.cdf(
    -limit, freedom, shift
  )
  # Far out scipy's series gives nan; there the answer is one.
  return float(np.nan_to_num(found, nan=1.0))


def seeds_needed(
  sd: float,
  difference: float,
  *,
  is_paired: bool = False,
  alpha: float = 0.05,
  wanted: float = 0.8,
  most: int = 100_000,
) -> int:
  """Runs an arm for `wanted` power against a true `difference`; `most` if more."""
  if not (sd > 0 and difference != 0):
    raise ValueError(f"sd = {sd} must be above 0 and difference = {difference} not 0.")
  low, high = 1, 2
  while power(high, sd, difference, is_paired=is_paired, alpha=alpha) < wanted:
    low, high = high, 2 * high
    if high > most:
      return most
  while high - low > 1:
    middle = (low + high) // 2
    reached = power(middle, sd, difference, is_paired=is_paired, alpha=alpha) >= wanted
    low, high = (low, middle) if reached else (middle, high)
  return high


def detectable(
  sd: float, runs: int, *, is_paired: bool = False, alpha=0.05, wanted=0.8
) -> float:
  """The smallest true difference that `runs` an arm find with `wanted` power."""
  low, high = 0.0, sd
  while power(runs, sd, high, is_paired=is_paired, alpha=alpha) < wanted:
    high *= 2
  for _ in range(60):
    middle = (low + high) / 2
    reached = power(runs, sd, middle, is_paired=is_paired, alpha=alpha) >= wanted
    low, high = (low, middle) if reached else (middle, high)
  return high


@dataclasses.dataclass(frozen=True)
class Row:
  """One arm beside the baseline.

  mean, se: of runs that did not diverge. adjusted: Holm's p. seeds: how many an arm would
  need where the verdict is "not distinguishable", if the difference seen is the true one.
  """

  arm: str
  runs: int
  diverged: int
  mean: float
  se: float
  difference: Difference | None
  bootstrap: tuple[float, float] | None
  adjusted: float
  verdict: str
  seeds: int | None


def compare(
  arms: dict[str, np.ndarray],
  baseline: str,
  *,
  is_paired: bool = True,
  level: float = 0.95,
  seed: int = 0,
) -> tuple[Row, ...]:
  """Every arm beside the baseline, Holm-corrected over all of them; lower is better.

  arms: {name: values, one a seed, in the same order}; nan or inf is a diverged run. In
  paired comparisons a seed that diverged in either arm is left out of that pair. An arm
  in which fewer than two comparable runs are left has "too few runs".
  """
  if baseline not in arms:
    raise ValueError(f"baseline {baseline!r} is not among the arms: {sorted(arms)}.")
  values = {name: np.asarray(runs, float) for name, runs in arms.items()}
  found: dict[str, tuple] = {}
  for name in arms:
    if name != baseline:
      found[name] = _differ(values[baseline], values[name], is_paired, level, seed)
  raw = [each[0].p for each in found.values() if each[0] is not None]
  corrected = iter(holm(np.array(raw)))
  rows = []
  for name, runs in values.items():
    difference, interval, sd = found.get(name, (None, None, 0.0))
    adjusted = next(corrected) if difference is not None else np.nan
    verdict = _verdict(name == baseline, difference, adjusted, 1 - level)
    seeds = None
    if verdict == "not distinguishable" and sd > 0 and difference.mean != 0:
      alpha = (1 - level) / len(raw)  # what Holm asks of the smallest p
      seeds = seeds_needed(sd, difference.mean, is_paired=is_paired, alpha=alpha)
    kept = runs[np.isfinite(runs)]
    rows.append(
      Row(
        name,
        len(runs),
        len(runs) - len(kept),
        float(kept.mean()) if len(kept) else np.nan,
        float(kept.std(ddof=1) / np.sqrt(len(kept))) if len(kept) > 1 else np.nan,
        difference,
        interval,
        float(adjusted),
        verdict,
        seeds,
      )
    )
  return tuple(rows)


def _differ(base, arm, is_paired, level, seed):
  """(Difference, bootstrap interval, sd that planning needs); None where too few runs."""
  if is_paired:
    if len(base) != len(arm):
      raise ValueError(f"{len(base)} and {len(arm)} runs cannot be paired by seed.")
    both = np.isfinite(base) & np.isfinite(arm)
    base, arm = base[both], arm[both]
  else:
    base, arm = base[np.isfinite(base)], arm[np.isfinite(arm)]
  if min(len(base), len(arm)) < 2:
    return None, None, 0.0
  if not is_paired:
    pooled = np.sqrt((base.var(ddof=1) + arm.var(ddof=1)) / 2)
    return welch(base, arm, level=level), None, pooled
  interval = None
  if len(base) >= 8:  # with fewer runs resampling understates what is not known
    interval = bootstrap_mean(arm - base, level=level, seed=seed)
  return paired(base, arm, level=level), interval, (arm - base).std(ddof=1)


def _verdict(is_baseline, difference, adjusted, alpha):
  if is_baseline:
    return "baseline"
  if difference is None:
    return "too few runs"
  if adjusted > alpha:
    return "not distinguishable"
  return "better" if difference.mean < 0 else "worse"


def trend(
  flops: np.ndarray, difference: np.ndarray, *, level: float = 0.95
) -> Difference:
  """Slope of an arm's differences from the baseline by ln C: does the gain persist?

  flops [n], difference [n] of pairs at several budgets. Least squares.
  """
  if len(np.unique(flops)) < 3:
    raise ValueError("a trend over compute needs 3 or more budgets.")
  line = scipy_stats.linregress(np.log(flops), difference)
  freedom = len(flops) - 2
  half = special.stdtrit(freedom, (1 + level) / 2) * line.stderr
  return Difference(
    float(line.slope),
    float(line.slope - half),
    float(line.slope + half),
    float(line.pvalue),
    float(line.stderr),
    float(freedom),
    "slope by ln C",
  )
