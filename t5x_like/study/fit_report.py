"""What `study fit` says: one dictionary, and the same as text.

You are in: t5x_like/study. Upstream: fit.py, intervals.py, allocation.py. Downstream:
verbs.py prints it. A constant never stands without its intervals, a fit never without
the error it makes where it extrapolates, and what was left out is counted.
"""

from __future__ import annotations

import dataclasses
import textwrap

import numpy as np

from t5x_like.study import allocation
from t5x_like.study.fit import Fit, held_out
from t5x_like.study.intervals import (
  Identified,
  bca,
  compare,
  identified,
  percentile,
)
from t5x_like.study.laws import Chinchilla, ChinchillaTied, Kaplan, Law, OverTraining

ALLOCATED = (Chinchilla, ChinchillaTied, Kaplan, OverTraining)
# Intervals of fewer resamples would be their noise.
LEAST_RESAMPLES = 100


def report(
  found: Fit,
  *,
  samples: np.ndarray | None,
  groups: np.ndarray | None,
  budgets: list[float],
  published: Law | None = None,
) -> dict:
  """Everything a fit is reported with; plain numbers, None for infinite ends.

  samples: theta [R, P] of intervals.bootstrap, by groups if any; None for no intervals.
  """
  law, problem = found.problem.law, found.problem
  geometry = identified(found)
  row = {
    "law": law.__name__,
    "points": len(problem.y),
    "fingerprint": found.fingerprint,
    "objective": found.objective,
    "delta": _finite(problem.huber.delta),
    "arrived": found.arrived,
    "r_squared": found.r_squared,
    "constants": _constants(found, geometry, samples, groups is None),
    "resampled": None
    if samples is None
    else ("points" if groups is None else "groups"),
    "resamples": 0 if samples is None else len(samples),
    "condition": geometry.condition,
    "not_identified": list(geometry.words),
    "held_out": _held_out(found),
  }
  if published is not None:
    row["compared"] = dataclasses.asdict(compare(found, published))
  if law in (Chinchilla, ChinchillaTied):
    row["exponent"] = _exponent(found, samples)
  if law in ALLOCATED:
    row["allocation"] = [_allocated(found, samples, flops) for flops in budgets]
  return row


def _constants(
  found: Fit, geometry: Identified, samples: np.ndarray | None, by_points: bool
) -> dict:
  law = found.problem.law
  ends = corrected = None
  if samples is not None and len(samples) >= LEAST_RESAMPLES:
    ends = law.constants(percentile(samples))
    if by_points:  # leaving one point out is no acceleration for groups
      corrected = law.constants(bca(found, samples))
  rows = {}
  for index, name in enumerate(law.names()):
    rows[name] = {"estimate": float(getattr(found.law, name))}
    if not found.problem.free[index]:
      rows[name]["fixed"] = True
      continue
    side = geometry.profiles[name]
    rows[name]["profile"] = [_finite(side.low), _finite(side.high)]
    if ends is not None:
      rows[name]["bootstrap"] = [float(end) for end in ends[:, index]]
    if corrected is not None:
      rows[name]["bca"] = [float(end) for end in corrected[:, index]]
  return rows


def _exponent(found: Fit, samples: np.ndarray | None) -> dict:
  law = found.problem.law
  row = {"estimate": float(allocation.exponents(law, found.theta[None])[0])}
  if samples is not None and len(samples) >= LEAST_RESAMPLES:
    drawn = allocation.exponents(law, samples)
    row["bootstrap"] = [float(end) for end in percentile(drawn)]
  return row


def _held_out(found: Fit) -> dict | None:
  x = found.problem.x
  cost = np.prod([x[name] for name in found.problem.law.inputs if name != "u"], axis=0)
  if not found.problem.law.in_log:  # of accuracies by loss, the best runs are the large
    cost = 1 / cost
  errors = held_out(found, cost)
  if errors is None:
    return None
  return {
    "kept": errors.kept,
    "dropped": errors.dropped,
    "reach": errors.reach,
    "mean_absolute_error": errors.mean_absolute,
    "worst_error": float(errors.errors[np.abs(errors.errors).argmax()]),
  }


def _allocated(found: Fit, samples: np.ndarray | None, flops: float) -> dict:
  best = allocation.optimal(found.law, flops)
  row = {"flops": flops, "n": best.n, "d": best.d, "loss": best.loss}
  if samples is not None and len(samples) >= LEAST_RESAMPLES:
    drawn = allocation.optimal_samples(found.problem.law, samples, flops)
    kept = drawn[np.isfinite(drawn).all(axis=1)]
    row["without_optimum"] = len(drawn) - len(kept)
    if len(kept) >= LEAST_RESAMPLES:
      low, high = percentile(kept)
      for index, name in enumerate(("n", "d", "loss")):
        row[f"{name}_interval"] = [float(low[index]), float(high[index])]
  seen = found.problem.x["n"] * found.problem.x["d"] * 6
  row["reach"] = float(flops / seen.max())
  return row


def _finite(value: float) -> float | None:
  return float(value) if np.isfinite(value) else None


def text(row: dict, formula: str, convention: str) -> str:
  """The report for a terminal, 88 columns."""
  delta = f"Huber, delta {row['delta']:g}" if row["delta"] else "least squares"
  lines = [
    f"{row['law']}: {formula}",
    f"{row['points']} points ({row['fingerprint']}), {row['left_out']}",
    f"objective {row['objective']:.9g} ({delta}), "
    f"the end of {row['arrived']:.0%} of the starts",
    f"R^2 {row['r_squared']:.4f}",
    "",
    _header(row),
  ]
  lines += [_line(name, constant) for name, constant in row["constants"].items()]
  if "exponent" in row:
    lines += [_line("a", row["exponent"]), "", "a is the exponent of N_opt ~ C^a."]
  lines += ["", *_identified(row), "", _extrapolated(row["held_out"])]
  if "compared" in row:
    lines += ["", _compared(row["compared"])]
  for best in row.get("allocation", []):
    lines += ["", *_budget(best)]
  return "\n".join([*lines, "", textwrap.fill(convention, 88)])


def _header(row: dict) -> str:
  drawn = (
    f"bootstrap ({row['resamples']} x {row['resampled']})" if row["resampled"] else ""
  )
  return f"{'95 %':8} {'estimate':>12}  {drawn:>28}  {'profile':>26}"


def _line(name: str, constant: dict) -> str:
  line = f"{name:8} {constant['estimate']:>12.6g}"
  if constant.get("fixed"):
    return f"{line}  held fixed"
  for kind, width in (("bootstrap", 28), ("profile", 26)):
    line += f"  {_interval(constant.get(kind)):>{width}}"
  return line.rstrip()


def _interval(ends: list | None) -> str:
  if ends is None:
    return ""
  low, high = ("unbounded" if end is None else f"{end:.4g}" for end in ends)
  return f"{low} to {high}"


def _identified(row: dict) -> list[str]:
  if row["not_identified"]:
    return [f"NOTE: {line}." for line in row["not_identified"]]
  return ["Every constant is bounded by these points (profiles end on both sides)."]


def _extrapolated(row: dict | None) -> str:
  if row is None:
    return (
      "Held out: too few points are left without the largest runs; nothing is known."
    )
  return textwrap.fill(
    f"Held out: fitted without the {row['dropped']} largest runs, the law misses them by "
    f"{row['mean_absolute_error']:.2%} on average and {row['worst_error']:+.2%} at worst; "
    f"they reach {row['reach']:.3g} times as far as the {row['kept']} kept.",
    88,
  )


def _compared(row: dict) -> str:
  verdict = (
    "these points rule them out" if row["p"] < 0.05 else "they are not ruled out"
  )
  return (
    f"The constants given have objective {row['objective']:.9g}, {row['ratio']:.4g} times "
    f"the\nlowest: {verdict} (deviance {row['deviance']:.4g}, p {row['p']:.2g})."
  )


def _budget(best: dict) -> list[str]:
  def ends(name: str, form: str = ".3g") -> str:
    found = best.get(f"{name}_interval")
    return f" [{found[0]:{form}}, {found[1]:{form}}]" if found else ""

  lines = [
    f"With {best['flops']:.3g} FLOPs: N = {best['n']:.3g}{ends('n')}",
    f"  D = {best['d']:.3g}{ends('d')}, {best['d'] / best['n']:.3g} tokens a parameter",
    f"  loss = {best['loss']:.4f}{ends('loss', '.4f')}",
  ]
  if best["reach"] > 1:
    lines.append(f"  {best['reach']:.3g} times beyond the largest of the points")
  if best.get("without_optimum"):
    lines.append(f"  {best['without_optimum']} resamples have no optimum")
  return lines
