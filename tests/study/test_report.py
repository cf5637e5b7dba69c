"""Reports: what they hold, that they need nothing else, and what is refused."""

import csv
import json
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from planted_study import planted

from t5x_like import main
from t5x_like.study import claims, gin_difference, latex, markdown, outcome, page
from t5x_like.study.blocks import Code, Heading, Paragraph, Table
from t5x_like.study.store import Store

SIZES = ("xs", "s", "m", "l", "xl")
VOID = {"meta", "link", "br", "img"}


@pytest.fixture
def study(tmp_path):
  """Two arms at four sizes by three seeds and one held-out size; one run diverged and
  one failed."""
  points = [{"size": size} for size in SIZES]
  store = planted(tmp_path / "study", {"old": {}, "new<1>": {}}, 3, points=points)
  plan = store.plan
  for cell in plan["cells"]:
    size = SIZES.index(cell["point"]["size"])
    cell |= {"flops": 1e11 * 3.0**size, "held_out": size == 4}
  store.write_plan(plan, {"old": "A = 1\n", "new<1>": "A = 2\nb.C:\n  d = 'x'\n"})
  random = np.random.default_rng(0)
  for number, cell in enumerate(plan["cells"]):
    value = 1.5 + 60 * cell["flops"] ** -0.13 + random.normal(0, 0.01)
    value -= 0.2 * (cell["arm"] != "old")
    finish(store, cell, value, number)
  return store.root


def test_batches_are_shown_beside_those_that_gradient_noise_suggests(study, capsys):
  store = Store(study)
  runs = [c for c in store.plan["cells"] if c["arm"] == "old" and c["seed"] < 2]
  one, two = [c for c in runs if c["point"]["size"] == "xs"]
  for cell, tokens in ((one, 512.0), (two, 1536.0)):
    lines = [
      {"step": 10, "target_tokens": 2048.0, "noise_scale_tokens": 9.0, "loss": 1.0},
      {"step": 20, "target_tokens": 2048.0, "noise_scale_tokens": tokens, "loss": 1.0},
      {"step": 20, "validation/loss": 2.0},
    ]
    ledger = store.folder(cell) / "metrics.jsonl"
    ledger.write_text("\n".join(map(json.dumps, lines)) + "\n")
    path = store.folder(cell) / "result.json"
    ended = outcome.result(ledger.parent, metric="validation/loss", steps=20)
    path.write_text(json.dumps(json.loads(path.read_text()) | ended))
  assert report(study) == 0
  capsys.readouterr()
  text = (study / "report" / "report.md").read_text()
  # 2048 tokens beside 1024: 1 + 1/2 of the fewest steps, 1 + 2 of the least data.
  [row] = [line for line in text.splitlines() if "1,024" in line]
  words = [word.strip() for word in row.strip("|").split("|")]
  assert words[4:6] == ["2,048", "1,024"] and words[7:] == ["1.50", "3.00"]


def finish(store, cell, value, number):
  claim = claims.take(store.folder(cell), now=time.time())
  if number == 7:
    claim.end({"class": "failed", "reason": "out of memory", "seconds": 9.0})
    return
  state = "diverged" if number == 9 else "done"
  found = {"state": state, "reason": "", "code": "0", "seconds": 1.0}
  if state == "done":
    curve = [[5 * k, value + (4 - k) / 10] for k in range(1, 5)]
    final = {"validation/loss": value, "validation/other/loss": 2 * value}
    found |= {"value": value, "curve": curve, "final": final}
  else:
    found |= {"value": None, "curve": [], "final": {}, "reason": "loss is nan"}
  store.write_result(cell, claim, found)
  claim.end({"class": state, "reason": ""})


def report(root, *flags):
  words = ["study", "report", f"--study_dir={root}", "--bootstrap=100", *flags]
  return main.main(words)


class Balanced(HTMLParser):
  """Fails at a tag that is not closed where it should be; keeps addresses and text."""

  def __init__(self):
    super().__init__()
    self.open, self.addresses, self.text = [], [], []

  def handle_starttag(self, tag, attributes):
    self.addresses += [v for n, v in attributes if n in ("src", "href") and v]
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attributes):
    self.addresses += [v for n, v in attributes if n in ("src", "href") and v]

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)


def test_a_report_is_whole_and_needs_nothing_from_elsewhere(study, capsys):
  assert report(study, "--budget=1e18") == 0
  folder = study / "report"
  assert capsys.readouterr().out.split() == [
    str(folder / name)
    for name in ("report.html", "report.md", "tables.tex", "points.csv")
  ]
  html = (folder / "report.html").read_text()
  read = Balanced()
  read.feed(html)
  assert not read.open and "script" not in html and "nan" not in html.split()
  assert html.count("<figure>") == 3 and html.count("<svg") == 3
  assert not [a for a in read.addresses if not a.startswith("#")]
  text = "".join(read.text)
  for words in (
    "new<1>",
    "+ b.C.d = 'x'",
    "out of memory",
    "E + A C^-alpha",
    "size=xl seed 0",
    "validation/other/loss",
    "held out",
    "What budgets would give",
    "1e+18",
    "t5x_like study run --gin_file=planted.gin",
  ):
    assert words in text, words


def test_the_other_formats_hold_the_same_rows(study):
  assert report(study, f"--out={study / 'there'}") == 0
  text = (study / "there" / "report.md").read_text()
  linked = [line for line in text.splitlines() if line.startswith("![")]
  assert len(linked) == 3
  for line in linked:
    assert (study / "there" / line.partition("](")[2].rstrip(")")).exists()
  tex = (study / "there" / "tables.tex").read_text()
  assert tex.count(r"\begin{table}") == tex.count(r"\end{table}") > 5
  rows = list(csv.DictReader((study / "there" / "points.csv").open()))
  assert len(rows) == 30 and {row["state"] for row in rows} == {
    "done",
    "failed",
    "diverged",
  }
  assert {row["held_out"] for row in rows if "xl" in row["point"]} == {"True"}


def test_json_holds_verdicts_laws_and_predictions(study, capsys):
  assert report(study, "--json") == 0
  found = json.loads(capsys.readouterr().out)
  *_, table = found["tables"]
  [row] = [row for row in table["rows"] if row["arm"] != "old"]
  assert row["verdict"] == "better"
  assert row["difference"] == pytest.approx(-0.2, abs=0.02)
  assert len(found["laws"][0]["predicted"]) == 3
  assert found["spent"]["cells"] == {"done": 28, "failed": 1, "diverged": 1}
  assert found["spent"]["seconds"] == 38.0


@pytest.mark.parametrize(
  "flags, says",
  [
    (("--study_dir=nowhere",), "holds no plan.json"),
    (("--bootstrap=5",), "must be 100 or more"),
  ],
)
def test_a_report_that_cannot_be_is_refused(study, capsys, flags, says):
  assert report(study, *flags) == 2
  assert says in capsys.readouterr().err


def test_a_study_without_a_number_is_refused(tmp_path, capsys):
  planted(tmp_path / "study", {"a": {}}, 1)
  assert report(tmp_path / "study") == 2
  assert "has no finished cell" in capsys.readouterr().err


def test_a_difference_names_bindings_whole():
  before = "# text\nfrom x import y\nA = 1\nb.C:\n  d = [\n      1,\n  ]\n  e = 2\n"
  after = "A = 1\nb.C:\n  d = [\n      3,\n  ]\n"
  assert gin_difference.difference(before, after) == [
    "- b.C.d = [ 1, ]",
    "+ b.C.d = [ 3, ]",
    "- b.C.e = 2",
  ]


def test_each_format_escapes_what_means_something_to_it():
  blocks = [
    Heading("a & b"),
    Paragraph("<i>"),
    Table("50 %", ("x|y",), (("$_1",),)),
    Code("a < b"),
  ]
  html = page.html(blocks, {})
  assert "<p>&lt;i&gt;</p>" in html and "<h1>a &amp; b</h1>" in html
  assert "| x\\|y |" in markdown.markdown(blocks, ())
  assert r"\$\_1 \\" in latex.latex(blocks) and r"50 \%" in latex.latex(blocks)
