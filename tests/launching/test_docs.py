"""docs/scale.md: the commands of its section on launching are real."""

import re
import shlex
from pathlib import Path

import pytest

from t5x_like import main
from t5x_like.flags import parse_arguments

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## Launching\n")[2].partition("\n## ")[0]
COMMANDS = [
  shlex.split(command.replace("\\\n", " "))[1:]
  for command in re.findall(r"(?m)^    (t5x_like (?:.*\\\n)*.*)$", SECTION)
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[1])
def test_a_documented_command_can_be_given(words, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  if words[0] == "launch":
    assert main.main(words) == 0
  else:
    assert parse_arguments(list(words)).verb == words[0]


def test_the_file_has_the_name_that_is_documented(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert main.main(list(COMMANDS[0])) == 0
  [path] = tmp_path.iterdir()
  assert f"writes `{path.name}`" in SECTION
