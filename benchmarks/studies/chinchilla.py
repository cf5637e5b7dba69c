"""Chinchilla's points fitted as the papers do: 4500 starts, 4000 resamples, timed.

Run:  python benchmarks/studies/chinchilla.py POINTS.csv
POINTS.csv: the 245 points digitised from figure 4 of Hoffmann et al. (2022) by Besiroglu
et al. (2024), columns "Model Size", "Training FLOP", "loss". They carry no licence and
are not shipped. Results are in docs/scaling_laws.md.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from t5x_like.study import points
from t5x_like.study.allocation import exponents
from t5x_like.study.fit import fit
from t5x_like.study.intervals import bootstrap, percentile
from t5x_like.study.laws import Chinchilla
from t5x_like.study.starts import chinchilla_grid

COLUMNS = ["Model Size", "Training FLOP", "loss"]
PUBLISHED = {
  "A": (285, 744),
  "B": (1042, 5810),
  "E": (1.769, 1.871),
  "alpha": (0.317, 0.373),
  "beta": (0.331, 0.415),
}


def main(path: str) -> None:
  n, flops, loss = points.read(path, COLUMNS).columns.values()
  keep = np.argsort(loss)[: len(loss) - 5]
  x = {"n": n[keep], "d": (flops / 6 / n)[keep]}

  begin = time.perf_counter()
  searched = fit(Chinchilla, x, loss[keep])
  print(f"24 starts of variable projection: {time.perf_counter() - begin:.2f} s")
  print(f"  objective {searched.objective:.11f}, {searched.arrived:.0%} arrive")

  begin = time.perf_counter()
  found = fit(Chinchilla, x, loss[keep], starts=chinchilla_grid())
  grid = time.perf_counter() - begin
  print(f"4500 starts of the paper: {grid:.1f} s")
  print(f"  objective {found.objective:.11f}, {found.arrived:.0%} arrive")

  begin = time.perf_counter()
  samples = bootstrap(found, count=4000)
  drawn = time.perf_counter() - begin
  print(f"4000 resamples: {drawn:.1f} s; both {grid + drawn:.1f} s")
  ends = percentile(Chinchilla.constants(samples)).T
  for name, value, (low, high) in zip(
    Chinchilla.names(), Chinchilla.constants(found.theta), ends, strict=True
  ):
    print(
      f"  {name:6} {value:.6g}  {low:.4g} to {high:.4g}  published {PUBLISHED[name]}"
    )
  print(f"  se of a {exponents(Chinchilla, samples).std():.4f}")


if __name__ == "__main__":
  main(sys.argv[1])
