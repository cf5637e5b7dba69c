"""Laws of arms: planted ones are found, and held-out runs are not looked at."""

import numpy as np
import pytest

from t5x_like.study import arm_laws, arm_speedups

BUDGETS = np.geomspace(1e11, 1e13, 5)


def rows(arm="a", *, budgets=BUDGETS, held_out=(), noise=0.0, extra=lambda flops: 0.0):
  """Three seeds a budget of 1.5 + 60 C^-0.13, as measured.rows gives them."""
  random = np.random.default_rng(0)
  return [
    {
      "arm": arm,
      "point": f"size={place}",
      "seed": seed,
      "flops": flops,
      "params": int(flops**0.5),
      "tokens": int(flops**0.5 / 6),
      "value": 1.5 + 60 * flops**-0.13 + extra(flops) + random.normal(0, noise),
      "held_out": place in held_out,
    }
    for place, flops in enumerate(budgets)
    for seed in range(3)
  ]


def law(found, arm="a"):
  [fitted] = arm_laws.laws(found, [arm], resamples=100)
  return fitted


def test_a_planted_law_is_found():
  found = law(rows(noise=1e-4))
  assert found["law"] == "PowerLawFloor" and found["points"] == 15
  assert found["constants"]["alpha"]["estimate"] == pytest.approx(0.13, abs=0.01)
  assert found["predicted"] == []


def test_held_out_runs_are_predicted_and_change_nothing():
  plain = rows(held_out=(4,), noise=0.01)
  moved = [row | {"value": 9.0} if row["held_out"] else row for row in plain]
  one, other = law(plain), law(moved)
  assert one["constants"] == other["constants"] and one["points"] == 12
  assert [p["seed"] for p in one["predicted"]] == [0, 1, 2]
  assert one["predicted"][0]["reach"] == pytest.approx(BUDGETS[4] / BUDGETS[3])
  low, high = one["predicted"][0]["interval"]
  assert low < 1.5 + 60 * BUDGETS[4] ** -0.13 < high
  assert other["predicted"][0]["error"] < -0.3


def test_three_budgets_make_a_law_without_a_floor_and_two_none():
  assert law(rows(budgets=BUDGETS[:3]))["law"] == "PowerLaw"
  assert law(rows(budgets=BUDGETS[:2])) == {
    "arm": "a",
    "budgets": 2,
    "why": "2 budgets; a law needs 3",
  }


def test_runs_without_a_value_are_left_out():
  found = rows()
  found[0] |= {"value": None}
  assert law(found)["points"] == 14


def test_an_advantage_that_shrinks_has_a_slope():
  better = rows("b", extra=lambda flops: -0.1 + 0.01 * np.log(flops / 1e11))
  [trend] = arm_laws.trends(rows() + better, ["a", "b"], "a")
  assert trend["arm"] == "b"
  assert trend["slope"] == pytest.approx(0.01)
  assert arm_laws.trends(rows()[:6] + better[:6], ["a", "b"], "a") == []


def test_a_planted_speedup_is_found():
  """An arm that does with C what the baseline does with 1.5 C."""
  base = rows(noise=0.002)
  faster = [
    row | {"arm": "b", "value": row["value"] + 60 * ((1.5 * f) ** -0.13 - f**-0.13)}
    for row in base
    for f in [row["flops"]]
  ]
  [found] = arm_speedups.speedups(base + faster, ["a", "b"], "a", resamples=200)
  low, high = found["interval"]
  assert low < 1.5 < high and high - low < 0.2
  assert found["factor"] == pytest.approx(1.5, abs=0.05)
  assert (found["flops"], found["crossings"]) == (BUDGETS[-1], [])


def test_an_advantage_that_turns_has_a_crossing():
  turning = rows("b", extra=lambda flops: 0.05 * np.log10(flops / 1e12))
  [found] = arm_speedups.speedups(rows() + turning, ["a", "b"], "a", resamples=100)
  assert found["factor"] < 1
  [crossing] = found["crossings"]
  assert crossing == pytest.approx(1e12, rel=0.1)
  one_short = rows(budgets=BUDGETS[:2]) + rows("b", budgets=BUDGETS[:2])
  assert arm_speedups.speedups(one_short, ["a", "b"], "a", resamples=100) == []


def test_a_budget_asked_for_is_predicted():
  [found] = arm_laws.laws(rows(noise=0.005), ["a"], wanted=[1e15], resamples=100)
  [there] = found["wanted"]
  low, high = there["loss_interval"]
  assert low < 1.5 + 60 * 1e15**-0.13 < high and low < there["loss"] < high
  assert there["reach"] == pytest.approx(100)


def test_losses_that_rise_with_compute_are_told_and_stop_nothing():
  rising = [row | {"value": 3 + 0.1 * np.log(row["flops"])} for row in rows()]
  found = law(rising)
  assert "they do not fall with compute" in found["why"]
  other = [row | {"arm": "b"} for row in rows()]
  assert arm_speedups.speedups(rising + other, ["a", "b"], "a", resamples=100) == []


def test_losses_that_curve_the_other_way_have_a_law_without_a_floor():
  x = np.log(BUDGETS / BUDGETS[0])
  curved = dict(zip(BUDGETS, np.exp(1.5 - 0.05 * x - 0.01 * x**2), strict=True))
  bent = [row | {"value": curved[row["flops"]]} for row in rows()]
  found = law(bent)
  assert found["law"] == "PowerLaw" and found["constants"]["alpha"]["estimate"] > 0.05
  faster = [row | {"arm": "b", "value": 0.9 * row["value"]} for row in bent]
  [speedup] = arm_speedups.speedups(bent + faster, ["a", "b"], "a", resamples=100)
  assert speedup["factor"] > 1
