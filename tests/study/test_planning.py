"""t5x_like/study/planning.py: seeds needed, and verdicts over a family of arms."""

import numpy as np
import pytest

from t5x_like.study.planning import compare, detectable, power, seeds_needed, trend

RANDOM = np.random.default_rng(1)
SHARED = RANDOM.normal(3.0, 0.05, 8)


def arm(shift: float, sd: float = 0.004) -> np.ndarray:
  return SHARED + shift + np.random.default_rng(int(1e4 + 1e4 * shift)).normal(0, sd, 8)


@pytest.mark.parametrize(
  "sd, difference, seeds",
  # Standard tables of two-sample t tests, two-sided 0.05, power 0.8.
  [
    (0.0013, 0.001, 28),
    (0.0013, 0.002, 8),
    (0.009, 0.01, 14),
    (0.009, 0.005, 52),
    (0.005, 0.005, 17),
    (0.005, 0.01, 6),
  ],
)
def test_seeds_needed_are_those_of_tables(sd, difference, seeds):
  assert seeds_needed(sd, difference) == seeds


def test_power_is_the_rate_at_which_simulated_tests_find_a_difference():
  rng = np.random.default_rng(2)
  x = rng.normal(0.8, 1, (20_000, 10))
  t = x.mean(axis=1) / x.std(axis=1, ddof=1) * np.sqrt(10)
  found = np.mean(np.abs(t) > 2.262157)  # t_9 at 0.975
  # 20,000 draws know a rate to 0.0035.
  assert power(10, 1.0, 0.8, is_paired=True) == pytest.approx(found, abs=0.011)


def test_what_is_detectable_needs_the_seeds_it_was_asked_with():
  least = detectable(0.005, 12)
  assert seeds_needed(0.005, least * 1.0001) == 12


def test_verdicts_of_a_family():
  arms = {
    "base": arm(0.0),
    "better": arm(-0.03),
    "same": arm(0.0003),
    "worse": arm(0.05),
  }
  rows = {row.arm: row for row in compare(arms, "base")}
  verdicts = {name: row.verdict for name, row in rows.items()}
  assert verdicts == {
    "base": "baseline",
    "better": "better",
    "same": "not distinguishable",
    "worse": "worse",
  }
  assert rows["same"].seeds > 8
  low, high = rows["better"].bootstrap
  assert low < rows["better"].difference.mean < high < 0
  assert rows["worse"].adjusted >= rows["worse"].difference.p


def test_pairing_finds_what_unpaired_runs_do_not():
  arms = {"base": arm(0.0), "better": arm(-0.03)}
  assert compare(arms, "base")[1].verdict == "better"
  apart = compare(arms, "base", is_paired=False)[1]
  assert apart.verdict == "not distinguishable"
  assert apart.seeds > 8


def test_diverged_runs_are_counted_and_in_no_mean():
  broken = arm(-0.03)
  broken[2], broken[5] = np.nan, np.inf
  row = compare({"base": arm(0.0), "arm": broken}, "base")[1]
  assert (row.runs, row.diverged) == (8, 2)
  assert np.isfinite(row.mean) and row.difference.freedom == 5


def test_an_arm_of_one_run_is_not_comparable():
  lone = np.full(8, np.nan)
  lone[0] = 2.9
  row = compare({"base": arm(0.0), "arm": lone}, "base")[1]
  assert row.verdict == "too few runs" and row.difference is None


def test_a_gain_that_shrinks_with_compute_is_seen():
  flops = np.repeat(np.geomspace(1e17, 1e20, 4), 3)
  noise = np.random.default_rng(4).normal(0, 1e-4, 12)
  slope = trend(flops, -0.03 + 0.002 * np.log(flops / 1e17) + noise)
  assert slope.low < 0.002 < slope.high
  assert slope.p < 1e-6
