"""Coordinate checks: what a few steps change, by width, with and without muP."""

import json
import math

import numpy as np
import pytest

from t5x_like import coordinates, main

BASE = ["study", "coord-check", "--gin_file=studies/lr_transfer/base.gin"]
SMALL = ["--gin.BATCH_SIZE=2", "--gin.llama.llama.layers=1", "--steps=3"]
SMALL += ["--gin.TASK_FEATURE_LENGTHS={'targets': 16}", "--gin.llama.llama.vocab=64"]


def checked(capsys, *words: str) -> str:
  assert main.main([*BASE, *SMALL, *words]) == 0
  return capsys.readouterr().out


def test_mup_holds_what_grows_without_it(capsys, tmp_path):
  figure = tmp_path / "made" / "coordinates.png"
  flags = ["--widths=32,128", "--parametrisation=given,mup", f"--out={figure}"]
  found = json.loads(checked(capsys, *flags, "--json"))
  rows = {kind: {row["part"]: row for row in found[kind]} for kind in found}
  assert list(rows["mup"]) == ["attention", "block", "embed", "ffn", "logits"]
  # Under Adam each of m times as many inputs moves as much, and all of them together:
  # a change of m, less what is random. arXiv:2203.03466, section 5 and figure 5.
  given, mup = rows["given"]["logits"], rows["mup"]["logits"]
  assert given["slope"] > 0.5 and given["verdict"] == "grows"
  assert abs(mup["slope"]) < 0.25 and mup["verdict"] == "holds"
  assert mup["change"][0] == given["change"][0]  # the base is itself
  # Hidden states keep their size at the start; logits start at m^-1/2.
  assert np.divide(*rows["mup"]["ffn"]["before"]) == pytest.approx(1.0, rel=0.2)
  assert np.divide(*mup["before"]) == pytest.approx(2.0, rel=0.2)
  assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
  "words, reason",
  [
    ([], "needs --widths=32,64,128 or --depths"),
    (["--widths=32,x"], "must be integers with commas"),
    (["--widths=32"], "two sizes at least"),
    (["--widths=32,36"], "llama.llama.heads = 4 grows with dim from 32 to 36"),
    (["--widths=32,64", "--parametrisation=ntk"], "knows given, mup, complete-p"),
  ],
)
def test_mistakes_are_told_before_anything_is_compiled(words, reason, capsys):
  assert main.main([*BASE, *words]) == 2
  assert reason in capsys.readouterr().err


def test_a_slope_is_an_exponent():
  assert coordinates.slope([2, 4, 8], [3.0, 6.0, 12.0]) == pytest.approx(1.0)
  assert coordinates.verdict(1.0) == "grows"
  assert coordinates.verdict(-0.1) == "holds"
  assert coordinates.verdict(-1.0) == "shrinks"
  assert coordinates.verdict(coordinates.slope([2, 4], [1.0, math.inf])) == "diverges"
