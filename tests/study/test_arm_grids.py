"""Grids of arms: planted optima are found, by parabolas and by the law of N and D."""

import numpy as np
import pytest

from t5x_like.study import arm_grids, arm_laws, figures, laws_section
from t5x_like.study.allocation import optimal
from t5x_like.study.laws import Chinchilla

# Equal exponents: only then have parabolas no bias.
LAW = Chinchilla(A=400.0, B=400.0, E=1.7, alpha=0.3, beta=0.3)
BUDGETS = np.geomspace(1e18, 1e20, 3)


def rows(noise=0.0):
  """Five sizes at each of three budgets, two seeds; one larger run is held out."""
  random, found = np.random.default_rng(0), []
  for budget in [*BUDGETS, 1e21]:
    for size in np.geomspace(0.25, 4, 5) * optimal(LAW, budget).n:
      for seed in range(2):
        n, d = round(size), budget / 6 / round(size)
        value = float(LAW(n=np.array([n]), d=np.array([d]))[0]) + random.normal(
          0, noise
        )
        found.append(
          {
            "arm": "a",
            "point": f"budget={budget:g} n={n}",
            "seed": seed,
            "params": n,
            "tokens": d,
            "flops": budget * (1 + 0.001 * seed),
            "value": value,
            "held_out": budget == 1e21,
          }
        )
  return found


def test_vertices_lie_at_the_planted_optima():
  [grid] = arm_grids.grids(rows(), ["a", "b"], resamples=100, seed=0)
  assert [v["flops"] for v in grid["vertices"]] == pytest.approx(BUDGETS)
  assert [v["size"] for v in grid["vertices"]] == pytest.approx(
    [optimal(LAW, budget).n for budget in BUDGETS], rel=1e-3
  )
  assert grid["exponent"] == pytest.approx(0.5, abs=1e-3)


def test_a_grid_is_fitted_by_both_n_and_d_and_predicts():
  [law] = arm_laws.laws(rows(noise=1e-3), ["a"], wanted=[1e22], resamples=100)
  assert law["wanted"][0]["n"] == pytest.approx(optimal(LAW, 1e22).n, rel=0.2)
  assert law["law"] == "Chinchilla" and law["points"] == 30 and law["budgets"] == 3
  assert law["constants"]["alpha"]["estimate"] == pytest.approx(0.3, abs=0.02)
  assert law["curve"] is None
  assert max(abs(p["error"]) for p in law["predicted"]) < 0.01


def test_a_ladder_is_no_grid():
  ladder = [row for row in rows() if row["point"].endswith("n=1")]
  assert not arm_grids.is_grid(ladder)
  assert arm_grids.grids(rows()[:4], ["a"], resamples=100, seed=0) == []


def test_sizes_of_several_lengths_each_are_fitted_by_both_n_and_d():
  # Every size at the same lengths: no two sizes share a budget.
  lengths = [(n, d) for n in (1e6, 3e6, 9e6) for d in (1e8, 2e8, 4e8)]
  own = [
    {"params": n, "tokens": d, "flops": 6 * n * d, "held_out": False} | row
    for n, d in lengths
    for row in [{"arm": "a", "value": float(LAW(n=np.array([n]), d=np.array([d]))[0])}]
  ]
  assert not arm_grids.is_grid(own) and arm_grids.separates(own)
  [law] = arm_laws.laws(own, ["a"], wanted=[], resamples=20, seed=0)
  assert law["law"] == "Chinchilla"
  assert law["constants"]["E"]["estimate"] == pytest.approx(LAW.E, rel=1e-4)


def test_a_budget_without_a_minimum_is_told():
  falling = [row | {"value": 1e9 / row["params"]} for row in rows()]
  [grid] = arm_grids.grids(falling, ["a"], resamples=100, seed=0)
  assert grid["arm"] == "a" and ("why" in grid) != ("vertices" in grid)


def test_a_grid_is_drawn_and_tabulated():
  found = {
    "arms": [{"name": "a"}],
    "metric": "loss",
    "rows": rows(noise=0.01),
    "grids": arm_grids.grids(rows(noise=0.01), ["a"], resamples=100, seed=0),
  }
  text = figures.svg(figures.draw_sizes(found))
  assert text.startswith("<svg") and text.count("FLOPs") >= 3
  table = laws_section.grids(found)[-1]
  assert len(table.rows) == 3 and "outside" not in table.rows[0][4]
