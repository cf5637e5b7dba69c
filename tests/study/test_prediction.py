"""`study predict`: planted losses lie in its intervals, and what is refused."""

import csv
import json

import numpy as np
import pytest

from t5x_like import main
from t5x_like.study.laws import Chinchilla

LAW = Chinchilla.published()


@pytest.fixture
def runs(planted, tmp_path):
  x, loss = planted(LAW, noise=0.004)
  path = tmp_path / "runs.csv"
  with path.open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["n", "d", "loss"])
    writer.writerows(zip(x["n"], x["d"], loss, strict=True))
  return path


def predict(path, *flags):
  columns = ("--n=n", "--d=d", "--loss=loss", "--bootstrap=200")
  return main.main(["study", "predict", f"--csv={path}", *columns, *flags])


def test_a_planted_loss_lies_in_the_intervals(runs, capsys):
  assert predict(runs, "--at=n=1e10,d=2e11", "--at=d=1e13,n=7e10", "--json") == 0
  near, far = json.loads(capsys.readouterr().out)["predictions"]
  for found in (near, far):
    true = float(LAW(n=np.array([found["at"]["n"]]), d=np.array([found["at"]["d"]]))[0])
    low, high = found["mean_interval"]
    assert low < true < high and low < found["loss"] < high
    wider = found["run_interval"]
    assert wider[1] - wider[0] > high - low
  assert far["reach"]["n"] > near["reach"]["n"]


def test_a_prediction_is_printed_with_how_far_it_reaches(runs, capsys):
  assert predict(runs, "--at=n=1e12,d=2e13") == 0
  printed = capsys.readouterr().out
  assert "54 points" in printed and "times the largest" in printed
  assert "n = 1e+12, d = 2e+13" in printed


@pytest.mark.parametrize(
  "flag, says",
  [
    ("--at=n=1e9", "must be n=NUMBER,d=NUMBER"),
    ("--at=n=1e9,d=-1", "with numbers above 0"),
    ("--at=n=much,d=1", "must be NAME=VALUE"),
  ],
)
def test_a_place_that_is_none_is_refused(runs, capsys, flag, says):
  assert predict(runs, flag) == 2
  assert says in capsys.readouterr().err
  assert predict(runs, "--at=n=1,d=1", "--bootstrap=9") == 2
