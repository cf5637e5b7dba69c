"""Cells: the runs of a study, in the order in which they should run.

You are in: t5x_like/study. Upstream: a Study. Downstream: running.py writes them down;
workers need nothing but what is written.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

from t5x_like import config
from t5x_like.statements import ConfigError
from t5x_like.study import budget, searches, trunks
from t5x_like.study.reader import Reader
from t5x_like.study.rows import Cell, Row, digest, what_decides
from t5x_like.study.study import Study
from t5x_like.study.tuning import Tuning


@dataclasses.dataclass(frozen=True)
class Expansion:
  """cells: in the order in which they should run. texts: config digest -> gin text.

  trials: of the arms' searches, asked for so far. searching: searches that have not ended,
  {"arm", "point", "missing": why it has no cells yet, "runs" and "flops" of those}.
  """

  cells: tuple[Cell, ...]
  texts: dict[str, str]
  trials: tuple[Cell, ...] = ()
  searching: tuple[dict, ...] = ()


def read(files: Sequence[str], bindings=(), search_paths=()) -> Study:
  """The study that gin files describe."""
  return config.parse(files, bindings, search_paths).build_study()


def expand(
  study: Study,
  *,
  code: str,
  search_paths: Sequence[str] = (),
  bindings=(),
  outcome: searches.Outcome = lambda address: None,
) -> Expansion:
  """Every cell of the study: all first seeds before all second seeds, held-out last.

  bindings: laid over the base of every arm, below the arm's own. outcome: how a run at an
  address ended, from which searches go on.
  """
  reader = Reader(study, tuple(search_paths), tuple(bindings))
  texts: dict[str, str] = {}
  tuning = Tuning(reader, code, outcome, texts)
  planned = _Planned(reader, tuple(_rows(study, reader, tuning)), study.schedule)
  groups = [planned.cells(number, texts) for number in range(len(planned.rows))]
  # Interleaved, so that a study stopped early holds whole pairs.
  rows = itertools.zip_longest(*groups)
  cells = tuple(cell for row in rows for cell in row if cell is not None)
  cells = tuple(sorted(cells, key=lambda cell: cell.held_out))
  _check_distinct(cells)
  return Expansion(cells, texts, tuple(tuning.trials), tuple(tuning.searching))


def _rows(study: Study, reader: Reader, tuning: Tuning) -> Iterator[Row]:
  for point in study.points():
    base = reader.sized(study.reference(), point)
    seeds = point.seeds or study.seeds.values
    for arm in study.arms:
      built = base if arm.name == study.baseline else reader.matched(arm, point, base)
      row = Row(
        arm, point, built, base.cost, what_decides(built.run, tuning.code), seeds
      )
      row = tuning.tuned(row, base)
      if row is not None:
        yield row


@dataclasses.dataclass(frozen=True)
class _Planned:
  """All rows of a study, and what they are to each other."""

  reader: Reader
  rows: tuple[Row, ...]
  schedule: str

  @functools.cached_property
  def parts(self) -> list[dict[int, trunks.Part]]:
    """For each row {seed: what it is to others}; empty where each trains alone."""
    if self.schedule == "matched":
      return [{} for _ in self.rows]
    runs = [row.built.run for row in self.rows]
    return trunks.parts(
      runs, [row.what for row in self.rows], [row.seeds for row in self.rows]
    )

  def cells(self, number: int, texts: dict[str, str]) -> list[Cell]:
    """The cells of a row, one a seed; puts their gin texts into `texts`."""
    row, found, own = self.rows[number], [], {}
    for seed in row.seeds:
      part = self.parts[number].get(seed, trunks.ALONE)
      how = part.bindings()
      if how not in own:
        again = (*row.built.solved, *how)
        built = self.reader.build(row.arm, row.point, again) if how else row.built
        own[how] = digest(built.text)[:16]
        texts[own[how]] = built.text
      address, branch = self.address(number, seed), self.branch(number, seed, part)
      found.append(row.cell(address, seed, own[how], branch=branch))
    return found

  def address(self, number: int, seed: int) -> str:
    """Of a cell. That of a branch follows from its trunk's."""
    part = self.parts[number].get(seed, trunks.ALONE)
    what = self.rows[number].what | {"seed": seed}
    if part.of is not None:
      what["branch"] = {"of": self.address(part.of, seed), "step": part.step}
    return digest(what)

  def branch(self, number: int, seed: int, part: trunks.Part) -> dict | None:
    """`Cell.branch` of a cell."""
    if part.of is None:
      return None
    left = budget.cost(self.rows[number].built.run, since=part.step)
    trunk = self.address(part.of, seed)
    return {"of": trunk, "step": part.step, "tokens": left.tokens, "flops": left.flops}


def _check_distinct(cells: Sequence[Cell]) -> None:
  """Two labels for one run would be a comparison of it with itself."""
  seen: dict[str, Cell] = {}
  for cell in cells:
    other = seen.setdefault(cell.address, cell)
    if other is not cell:
      raise ConfigError(
        f"arm {cell.arm!r} {cell.point or ''} and arm {other.arm!r} {other.point or ''} "
        "are the same run: what they bind differs in nothing that decides a result."
      )
