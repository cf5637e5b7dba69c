"""Laws of arms: loss by compute for each arm, or by N and D, and what they predicted.

You are in: t5x_like/study, pure part. Upstream: rows of measured.py. Downstream: the
report. Along a ladder N and D grow together, so a law of both cannot be told from one of
compute alone; that is the law fitted. Where budgets were spent on several sizes, or sizes
trained for several lengths, it is Chinchilla's. Held-out runs are never fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from t5x_like.study import arm_grids, fit_report, planning
from t5x_like.study.fit import Fit, fit
from t5x_like.study.intervals import bootstrap, predict
from t5x_like.study.laws import Chinchilla, Law, PowerLaw, PowerLawFloor

# Budgets that a law needs: one more than it has constants.
NEEDS = ((4, PowerLawFloor), (3, PowerLaw))
RUNS = 6  # different (N, D) that Chinchilla's five constants need
# What a fit raises where losses rise with compute, or do not depend on it.
DEGENERATE = (ValueError, np.linalg.LinAlgError)
SHOWN = 60  # points of a drawn law
FORMULAS = {
  "PowerLawFloor": "E + A C^-alpha",
  "PowerLaw": "A C^-alpha",
  "Chinchilla": "E + A N^-alpha + B D^-beta",
}
# Inputs of laws as columns of rows.
COLUMNS = {"x": "flops", "n": "params", "d": "tokens"}


def laws(
  rows: list[dict],
  arms: list[str],
  *,
  wanted: Sequence[float] = (),
  resamples: int = 1000,
  seed: int = 0,
) -> list[dict]:
  """One dict for each arm: fit_report.report's of the best that its budgets allow, with
  "arm", "budgets" (how many), "curve" (of the law, with the interval of its mean),
  "predicted" (held-out runs) and "wanted" (what the law says of FLOPs asked for).

  Where there are too few budgets: {"arm", "budgets", "why"} alone.
  """
  return [_law(rows, arm, wanted, resamples, seed) for arm in arms]


def _law(
  rows: list[dict], arm: str, wanted: Sequence[float], resamples: int, seed: int
) -> dict:
  own = [row for row in rows if row["arm"] == arm and row["value"] is not None]
  fitted = [row for row in own if not row["held_out"]]
  budgets = len(np.unique(arm_grids.budgets(fitted)))
  found = {"arm": arm, "budgets": budgets}
  why = f"{budgets} budgets; a law needs {NEEDS[-1][0]}"
  for law in _candidates(fitted):
    try:
      return found | _told(law, own, fitted, wanted, resamples, seed)
    except DEGENERATE as error:
      why = f"its losses follow no {law.__name__}: {error}".rstrip(".")
  return found | {"why": why}


def _told(law, own, fitted, wanted, resamples: int, seed: int) -> dict:
  """What is said of an arm's law."""
  flops = np.array([row["flops"] for row in fitted])
  estimate = fit_falling(law, fitted)
  samples = bootstrap(estimate, count=resamples, seed=seed)
  report = fit_report.report(
    estimate,
    samples=samples if resamples else None,
    groups=None,
    budgets=list(wanted),
  )
  later = [row for row in own if row["held_out"]]
  reach = max([*flops, *(row["flops"] for row in later)])
  return {
    "wanted": report.pop("allocation", None)
    or [_wanted(estimate, samples, budget, flops.max()) for budget in wanted],
    **report,
    "formula": FORMULAS[law.__name__],
    "curve": _curve(estimate, samples, flops.min(), reach),
    "predicted": [_predicted(estimate, samples, row, flops.max()) for row in later],
  }


def _wanted(estimate: Fit, samples: np.ndarray, flops: float, largest: float) -> dict:
  """What a law of compute says of a budget, with the names of fit_report's allocation."""
  loss, ends = predict(estimate, samples, {"x": np.array([flops])})
  return {
    "flops": flops,
    "loss": float(loss[0]),
    "loss_interval": ends[:, 0].tolist(),
    "reach": flops / largest,
  }


def fit_falling(law: type[Law], rows: list[dict]) -> Fit:
  """The law through the rows; ValueError where losses rise with what is spent."""
  found = fit(law, _inputs(law, rows), np.array([row["value"] for row in rows]))
  if found.law.alpha <= 0:
    raise ValueError("they do not fall with compute")
  return found


def of_compute(rows: list[dict]) -> tuple[type[Law], ...]:
  """Laws of loss by FLOPs that the rows have budgets enough for, in the order in which
  they are tried: where losses still fall like a plain power, no floor above 0 fits."""
  budgets = len(np.unique(arm_grids.budgets(rows)))
  return tuple(law for least, law in NEEDS if budgets >= least)


def _candidates(rows: list[dict]) -> tuple[type[Law], ...]:
  different = {(row["params"], row["tokens"]) for row in rows}
  if arm_grids.separates(rows) and len(different) >= RUNS:
    return (Chinchilla,)
  return of_compute(rows)


def _inputs(law: type[Law], rows: list[dict]) -> dict[str, np.ndarray]:
  return {
    name: np.array([row[COLUMNS[name]] for row in rows], float) for name in law.inputs
  }


def _curve(estimate: Fit, samples: np.ndarray, low: float, high: float) -> dict | None:
  """{"flops", "loss", "low", "high"}: a law of compute, with the interval of its mean."""
  if estimate.problem.law.inputs != ("x",):
    return None
  flops = np.geomspace(low, high, SHOWN)
  loss, ends = predict(estimate, samples, {"x": flops})
  named = {"flops": flops, "loss": loss, "low": ends[0], "high": ends[1]}
  return {name: values.tolist() for name, values in named.items()}


def _predicted(estimate: Fit, samples: np.ndarray, row: dict, largest: float) -> dict:
  """A held-out run beside what the law says of one more run there."""
  x = _inputs(estimate.problem.law, [row])
  loss, ends = predict(estimate, samples, x, interval="new_run")
  return {
    "point": row["point"],
    "seed": row["seed"],
    "flops": row["flops"],
    "reach": row["flops"] / largest,
    "measured": row["value"],
    "predicted": float(loss[0]),
    "interval": [float(ends[0, 0]), float(ends[1, 0])],
    "error": float(loss[0] / row["value"] - 1),
  }


def trends(rows: list[dict], arms: list[str], baseline: str) -> list[dict]:
  """How each arm's paired difference from the baseline moves with compute; held-out runs
  included. {"arm", "slope", "low", "high", "p"} by ln C; empty with under 3 budgets."""
  value = {
    (row["arm"], row["point"], row["seed"]): row
    for row in rows
    if row["value"] is not None
  }
  found = []
  for arm in arms:
    pairs = [
      (row["flops"], value[arm, point, seed]["value"] - row["value"])
      for (name, point, seed), row in value.items()
      if name == baseline and (arm, point, seed) in value
    ]
    flops, difference = np.array(pairs).T if pairs else np.empty((2, 0))
    if arm == baseline or len(np.unique(flops)) < 3:
      continue
    slope = planning.trend(flops, difference)
    ends = {"slope": slope.mean, "low": slope.low, "high": slope.high, "p": slope.p}
    found.append({"arm": arm} | ends)
  return found
