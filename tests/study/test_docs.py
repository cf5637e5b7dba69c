"""docs/scaling_laws.md: its commands run as printed and print what stands there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from t5x_like import main

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")
TEXT = (ROOT / "docs" / "scaling_laws.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(?m)^    (t5x_like (?:.*\\\n)*.*)$", TEXT)
OUTPUTS = re.findall(r"(?ms)^```\n(.*?)^```$", TEXT)


@pytest.mark.parametrize("number", range(len(OUTPUTS)))
def test_a_documented_command_prints_what_is_documented(number, monkeypatch, capsys):
  monkeypatch.chdir(ROOT)
  words = shlex.split(COMMANDS[number].replace("\\\n", " "))
  assert main.main(words[1:]) == 0
  printed = capsys.readouterr().out
  assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", OUTPUTS[number]).split()
  found, told = (
    np.array([float(value) for value in NUMBER.findall(text)])
    for text in (printed, OUTPUTS[number])
  )
  # Other versions of numpy round otherwise; resamples then differ a little.
  np.testing.assert_allclose(found, told, rtol=0.03, atol=0.02)


def test_there_are_as_many_commands_as_outputs():
  assert len(COMMANDS) == len(OUTPUTS) == 3
