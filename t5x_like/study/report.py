"""The verb `study report`: a study's directory in, a folder for readers out.

You are in: t5x_like/study, the edge. Upstream: running.py. It writes

    report.html   everything, in one file
    report.md     the same, with figures/*.png beside it
    tables.tex    the comparisons and laws for a paper (booktabs)
    points.csv    a run a line, as `study fit` reads them
    figures/      the drawings as SVG and PNG
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from t5x_like.study import (
  document,
  figures,
  latex,
  markdown,
  measured,
  page,
  search_text,
)
from t5x_like.study.store import Store, replace
from t5x_like.study.summary import summary


def report(arguments: argparse.Namespace) -> int:
  """Writes the report, or prints its numbers as JSON."""
  store = Store(arguments.study_dir)
  search_text.check_ended(store.plan)
  found = summary(
    store, resamples=arguments.bootstrap, seed=arguments.seed, wanted=arguments.budget
  )
  if arguments.json:
    print(json.dumps(found))
    return 0
  folder = Path(arguments.out).expanduser() if arguments.out else store.root / "report"
  for path in write(found, folder):
    print(path)
  return 0


def write(found: dict, folder: Path) -> list[Path]:
  """Writes the report of a summary; returns what a reader opens first."""
  (folder / "figures").mkdir(parents=True, exist_ok=True)
  drawings = {}
  for name, figure in figures.draw(found).items():
    drawings[name] = figures.svg(figure)
    (folder / "figures" / f"{name}.svg").write_text(drawings[name], encoding="utf-8")
    (folder / "figures" / f"{name}.png").write_bytes(figures.png(figure))
  blocks = document.blocks(found)
  texts = {
    "report.html": page.html(blocks, drawings),
    "report.md": markdown.markdown(blocks, drawings),
    "tables.tex": latex.latex(blocks),
  }
  for name, text in texts.items():
    replace(folder / name, text)
  measured.write_csv(folder / "points.csv", found["rows"])
  return [folder / name for name in (*texts, "points.csv")]
