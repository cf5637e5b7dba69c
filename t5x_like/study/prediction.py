"""Prediction: the loss of runs not made yet, by a law through those that were.

You are in: t5x_like/study. Upstream: fit.py, intervals.py. Downstream: verbs.py. Two
intervals, both 95 %: of the law's mean there, and of one more run. Neither knows whether
the law still holds beyond its points, so that distance is always told.
"""

from __future__ import annotations

import numpy as np

from t5x_like.study.compare_text import aligned
from t5x_like.study.fit import Fit
from t5x_like.study.intervals import bootstrap, predict


def predictions(
  found: Fit,
  places: list[dict[str, float]],
  *,
  resamples: int,
  seed: int,
  groups: np.ndarray | None,
) -> dict:
  """{"law", "points", "fingerprint", "predictions": one dict a place}."""
  samples = bootstrap(found, count=resamples, seed=seed, groups=groups)
  law = type(found.law).__name__
  row = {"law": law, "points": len(found.problem.y), "fingerprint": found.fingerprint}
  row["predictions"] = [_prediction(found, samples, place, seed) for place in places]
  return row


def _prediction(
  found: Fit, samples: np.ndarray, place: dict[str, float], seed: int
) -> dict:
  x = {name: np.array([value]) for name, value in place.items()}
  value, mean = predict(found, samples, x)
  _, run = predict(found, samples, x, interval="new_run", seed=seed)
  seen = {name: values.max() for name, values in found.problem.x.items()}
  return {
    "at": place,
    "loss": float(value[0]),
    "mean_interval": mean[:, 0].tolist(),
    "run_interval": run[:, 0].tolist(),
    "reach": {name: float(place[name] / seen[name]) for name in place},
  }


def text(row: dict, formula: str) -> str:
  """For a terminal."""
  lines = [
    f"{row['law']}: {formula}",
    f"{row['points']} points ({row['fingerprint']}), {row['left_out']}",
  ]
  table = [("at", "loss", "95 % of the law", "95 % of one run", "times the largest")]
  for each in row["predictions"]:
    table.append(
      (
        ", ".join(f"{name} = {value:.3g}" for name, value in each["at"].items()),
        f"{each['loss']:.4f}",
        _interval(each["mean_interval"]),
        _interval(each["run_interval"]),
        ", ".join(f"{name} {reach:.3g}" for name, reach in each["reach"].items()),
      )
    )
  return "\n".join([*lines, *aligned(table)])


def _interval(ends: list[float]) -> str:
  return f"[{ends[0]:.4f}, {ends[1]:.4f}]"
