"""`t5x_like study ...`: what is printed, what is refused, and exit statuses."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from t5x_like import main
from t5x_like.study.laws import Chinchilla

LAW = Chinchilla.published()
ROOT = Path(__file__).resolve().parents[2]


def write(path, **columns) -> str:
  with open(path, "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
  return str(path)


@pytest.fixture
def runs(planted, tmp_path) -> str:
  x, loss = planted(LAW, noise=0.002)
  flops = np.repeat(np.geomspace(1e18, 1e21, 6), 9)
  return write(
    tmp_path / "runs.csv", params=x["n"], tokens=x["d"], flops=flops, loss=loss
  )


@pytest.fixture
def fit(capsys):
  """Calls `study fit`; (exit status, what it printed)."""

  def call(*words, status=0):
    found = main.main(["study", "fit", *words])
    captured = capsys.readouterr()
    assert found == status, captured.err
    return captured.err if status == 2 else captured.out

  return call


NAMES = ("--n=params", "--d=tokens", "--loss=loss", "--bootstrap=200")


def test_a_fit_is_printed_with_intervals_and_what_it_misses(fit, runs):
  printed = fit(f"--csv={runs}", *NAMES, "--budget=1e24")
  for words in (
    "54 points",
    "none left out",
    "bootstrap (200 x points)",
    "Held out: fitted without the 18 largest runs",
    "With 1e+24 FLOPs: N = ",
    "1e+03 times beyond the largest of the points",
    "C = 6 N D",
  ):
    assert words in printed
  assert max(map(len, printed.splitlines())) <= 88


def test_json_holds_the_planted_constants_within_its_intervals(fit, runs):
  row = json.loads(fit(f"--csv={runs}", *NAMES, "--budget=1e22", "--json"))
  for name in Chinchilla.names():
    constant = row["constants"][name]
    low, high = constant["bootstrap"]
    assert low < constant["estimate"] < high
    assert low < getattr(LAW, name) < high
  low, high = row["exponent"]["bootstrap"]
  assert low < 0.28 / 0.62 < high
  low, high = row["allocation"][0]["loss_interval"]
  assert low < row["allocation"][0]["loss"] < high
  assert row["not_identified"] == []


def test_the_same_command_prints_the_same_twice(fit, runs):
  words = (f"--csv={runs}", *NAMES, "--json")
  assert fit(*words) == fit(*words)


def test_tokens_follow_from_flops(fit, runs):
  names = (f"--csv={runs}", "--n=params", "--loss=loss", "--bootstrap=0", "--json")
  by_tokens = json.loads(fit(*names, "--d=tokens"))
  by_flops = json.loads(fit(*names, "--flops=flops"))
  assert by_flops["objective"] == pytest.approx(by_tokens["objective"], rel=1e-9)
  assert "bootstrap" not in by_flops["constants"]["A"]


def test_runs_left_out_are_named_by_line(fit, runs):
  printed = fit(f"--csv={runs}", *NAMES, "--drop_highest=2")
  table = list(csv.DictReader(open(runs)))
  worst = np.argsort([-float(row["loss"]) for row in table])[:2] + 2
  shown = ", ".join(str(line) for line in sorted(worst))
  assert f"left out: the 2 of highest loss (lines {shown})" in printed


def test_some_rows_of_a_file_can_be_fitted(fit, tmp_path):
  loss = [4.0, "", 3.0, 2.25, 9.0]
  arm = ["a", "a", "a", "a", "b=c"]
  state = ["done", "failed", "done", "done", "done"]
  x = [1e3, 1e4, 1e4, 1e5, 1e6]
  path = write(tmp_path / "p.csv", x=x, loss=loss, arm=arm, state=state)
  words = (f"--csv={path}", "--x=x", "--loss=loss", "--law=power-law", "--bootstrap=0")
  chosen = ("--where=arm=a", "--where=state=done")
  printed = fit(*words, *chosen)
  assert "3 points" in printed
  assert "left out: the 2 without arm=a and state=done" in printed
  assert "no row with arm=c" in fit(*words, "--where=arm=c", status=2)
  assert "must be COLUMN=TEXT" in fit(*words, "--where=arm", status=2)
  # Lines are those of the file, whatever was left out before them.
  highest = fit(*words, *chosen, "--drop_highest=1")
  assert "the 1 of highest loss (lines 2)" in highest
  assert "line 3: column 'loss' is empty" in fit(*words, "--where=arm=a", status=2)


def test_groups_are_resampled_whole(fit, runs):
  words = (f"--csv={runs}", *NAMES, "--group=flops", "--json")
  row = json.loads(fit(*words))
  assert row["resampled"] == "groups"
  assert "bca" not in row["constants"]["A"]


def test_what_is_not_identified_is_said_and_is_exit_status_5(fit, tmp_path):
  size = np.geomspace(1e6, 1e8, 12)
  noise = np.exp(np.random.default_rng(0).normal(0, 0.01, 12))
  path = write(tmp_path / "p.csv", size=size, loss=(0.01 + 30 * size**-0.1) * noise)
  words = (f"--csv={path}", "--x=size", "--loss=loss", "--law=power-law-floor")
  printed = fit(*words, "--bootstrap=0", status=5)
  assert "NOTE: E is not identified by these runs: any value below" in printed
  assert "unbounded" in printed


def test_constants_are_held_where_they_are_told(fit, runs):
  row = json.loads(fit(f"--csv={runs}", *NAMES, "--fix=E=1.69", "--json"))
  assert row["constants"]["E"] == {"estimate": pytest.approx(1.69), "fixed": True}


def test_published_constants_are_scored_on_the_same_points(fit, runs):
  good = "--compare=A=406.4,B=410.7,E=1.69,alpha=0.34,beta=0.28"
  assert "they are not ruled out" in fit(f"--csv={runs}", *NAMES, good)
  bad = "--compare=A=482.01,B=2085.43,E=1.8172,alpha=0.3478,beta=0.3658"
  assert "these points rule them out" in fit(f"--csv={runs}", *NAMES, bad)


def test_isoflop_prints_vertices_and_its_own_weakness(fit, runs):
  words = (f"--csv={runs}", "--n=params", "--flops=flops", "--loss=loss")
  printed = fit(*words, "--method=isoflop", "--budget=1e22")
  assert printed.count("points, at 0.") == 6
  assert "N_opt = " in printed and "With 1e+22 FLOPs" in printed
  assert "biased" in printed
  row = json.loads(fit(*words, "--method=isoflop", "--json"))
  assert row["n"]["exponent"] + row["d"]["exponent"] == pytest.approx(1)


def test_an_envelope_of_curves(fit, tmp_path):
  n, flops, loss, name = [], [], [], []
  for number, size in enumerate(np.geomspace(1e7, 1e9, 12)):
    d = np.geomspace(size / 10, 1000 * size, 60)
    n += 60 * [size]
    name += 60 * [f"run{number}"]
    flops += list(6 * size * d)
    loss += list(LAW(n=size, d=d))
  path = write(tmp_path / "curves.csv", n=n, flops=flops, loss=loss, run=name)
  words = (f"--csv={path}", "--n=n", "--flops=flops", "--loss=loss", "--group=run")
  row = json.loads(fit(*words, "--method=envelope", "--json"))
  # beta / (alpha + beta) of the law; steps between 12 sizes blur it.
  assert row["n"]["exponent"] == pytest.approx(0.28 / 0.62, abs=0.03)


@pytest.mark.parametrize(
  "words, told",
  [
    (("--n=parms",), "did you mean 'params'"),
    (("--n=params",), "needs --d=COLUMN (or --flops=COLUMN)"),
    ((*NAMES[:2], "--drop_highest=54"), "of 54 points"),
    ((*NAMES[:2], "--fix=E"), "must be NAME=VALUE"),
    ((*NAMES[:2], "--fix=Q=1"), "has no constants ['Q']"),
    ((*NAMES[:2], "--compare=E=1.7"), "must give all of A, B, E, alpha, beta"),
    ((*NAMES[:2], "--law=power-law"), "needs --x=COLUMN"),
    ((*NAMES[:2], "--law=power-law", "--starts=grid", "--x=params"), "--starts=grid"),
    (("--n=params", "--method=isoflop"), "missing: flops"),
    (
      ("--n=params", "--flops=flops", "--method=envelope"),
      "needs --group=COLUMN",
    ),
  ],
)
def test_mistakes_are_one_line(fit, runs, words, told):
  error = fit(f"--csv={runs}", "--loss=loss", *words, status=2)
  assert told in error and error.count("\n") == 1


@pytest.mark.parametrize(
  "cells, told",
  [
    (["3.1", "", "3.0"], "line 3: column 'loss' is empty"),
    (["3.1", "x", "3.0"], "line 3: 'x' in column 'loss' is no number"),
    (["3.1", "nan", "3.0"], "must be finite"),
  ],
)
def test_bad_cells_are_told_with_their_line(fit, tmp_path, cells, told):
  path = write(tmp_path / "bad.csv", size=[1, 2, 3], loss=cells)
  words = (f"--csv={path}", "--x=size", "--loss=loss", "--law=power-law")
  assert told in fit(*words, status=2)


def test_a_missing_file_is_told(fit):
  assert "is no file" in fit("--csv=/nowhere.csv", "--loss=loss", status=2)


def test_help_of_studies_needs_neither_numpy_nor_jax():
  code = (
    "import sys; from t5x_like import main; main.main(sys.argv[1:]); "
    "assert not {'numpy', 'scipy', 'jax'} & set(sys.modules)"
  )
  for words in (["--help"], ["study"], ["study", "fit", "--help"]):
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "study fit" in done.stdout
