"""docs/studies.md: its commands are real and print what stands there.

The four runs of its example are not trained again here (test_a_real_study.py trains); the
losses that the page shows are put where they would be.
"""

import re
import shlex
import time
from pathlib import Path

import pytest

from t5x_like import main
from t5x_like.flags import parse_arguments
from t5x_like.study import claims
from t5x_like.study.store import Store

NUMBER = re.compile(r"\d+\.?\d*(?:e[-+]?\d+)?")
ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
COMMANDS = [
  shlex.split(command.replace("\\\n", " "))[1:]
  for command in re.findall(r"(?m)^    (t5x_like (?:.*\\\n)*.*)$", TEXT)
]
# A verb and its study, and what is printed directly below the command.
NAME = re.compile(r"tiny_ffn|horizons|tuned_optimizers")
PRINTED = {
  (shlex.split(command)[2], NAME.search(command)[0]): output
  for command, output in re.findall(
    r"(?ms)^    (t5x_like study [^\n]*)\n\n```\n(.*?)^```$", TEXT
  )
}


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[1])
def test_a_documented_command_has_these_flags(words):
  verb = parse_arguments(list(words)).verb
  assert verb == " ".join(words[: len(verb.split())])


def test_the_study_shown_is_the_one_shipped():
  shipped = (ROOT / "gin_configs/studies/tiny_ffn/study.gin").read_text()
  shown = re.search(r"(?ms)^    study\.Study:\n.*?knob = [^\n]*$", TEXT)[0]
  assert re.sub(r"(?m)^    ", "", shown) in shipped


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("studies")


@pytest.mark.parametrize("verb, name", PRINTED)
def test_a_documented_command_prints_what_is_documented(
  verb, name, folder, monkeypatch, capsys
):
  monkeypatch.chdir(folder)
  [words] = [words for words in COMMANDS if words[1] == verb and name in words[2]]
  assert main.main(words) == 0
  printed = capsys.readouterr().out.replace(str(folder / "runs" / name), "STUDY")
  printed = re.sub(r"code \w{12}", "code CODE", printed)
  shown = PRINTED[verb, name]
  assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
  found, told = (
    [float(number) for number in NUMBER.findall(text)] for text in (printed, shown)
  )
  # The page's losses have four decimals; half of one, times t at one degree of freedom.
  assert found == pytest.approx(told, abs=1e-3)
  if (verb, name) == ("plan", "tiny_ffn"):
    finish(Store(folder / "runs" / "tiny_ffn"))


def finish(store: Store) -> None:
  """Gives every cell the loss that the page shows for it."""
  losses = re.findall(
    r"done +(\w+) seed=(\d) +30/30 +(\d\.\d+)", PRINTED["status", "tiny_ffn"]
  )
  values = {(arm, int(seed)): float(loss) for arm, seed, loss in losses}
  for cell in store.plan["cells"]:
    claim = claims.take(store.folder(cell), now=time.time())
    found = {"state": "done", "reason": "", "seconds": 1.0, "curve": [], "final": {}}
    found |= {"value": values[cell["arm"], cell["seed"]], "code": store.plan["code"]}
    store.write_result(cell, claim, found)
    claim.end({"class": "done", "reason": ""})
