"""docs/ancestors.md: its program prints what stands there, its commands are accepted."""

import contextlib
import io
import re
import shlex

import pytest

from models.components.param import count
from models.zoo import ZOO
from t5x_like import config


@pytest.fixture
def page(root) -> str:
  return (root / "docs" / "ancestors.md").read_text(encoding="utf-8")


def test_the_program_prints_what_is_documented(page):
  program, output = re.findall(r"(?ms)^```(?:python)?\n(.*?)^```$", page)
  told = output.split()
  out = io.StringIO()
  with contextlib.redirect_stdout(out):
    exec(program, {})
  found = out.getvalue().split()
  assert found[::2] == told[::2]
  # Other versions of Python document themselves in other words.
  assert [float(x) for x in found[1::2]] == pytest.approx(
    [float(x) for x in told[1::2]], rel=0.15
  )


def test_the_training_command_is_a_run_of_the_tiny_lstm(page):
  command = re.search(r"(?m)^    (t5x_like train (?:.*\\\n)*.*)$", page).group(1)
  words = shlex.split(command.replace("\\\n", " "))
  files = [w.split("=", 1)[1] for w in words if w.startswith("--gin_file=")]
  bindings = [w.removeprefix("--gin.") for w in words if w.startswith("--gin.")]
  assert config.parse(files, bindings).build().model == ZOO["lstm/tiny"].spec()


def test_counts_of_the_table_are_those_of_the_zoo(page):
  for name in ("nnlm/brown", "lstm/medium", "lstm/large"):
    assert f"{count(ZOO[name].spec()):,}" in page
