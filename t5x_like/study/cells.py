"""Cells: the runs of a study, each with the address under which its result is kept.

You are in: t5x_like/study. Upstream: a Study. Downstream: plan.py writes them down. The
only part of a study that reads configurations; workers need nothing but what is written.

The address is a hash of what decides the result: the run's identity (the configuration
without paths), its length, what it is evaluated on, its arithmetic and the code version.
Names, labels and where things lie are not in it, so an equal run of another study, or a
renamed arm, is found and not repeated.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence

from t5x_like import config, identity
from t5x_like.statements import ConfigError
from t5x_like.study import budget, trunks
from t5x_like.study.study import Arm, Study
from t5x_like.study.sweep import Point

NOWHERE = "unset"  # the model_dir while planning; workers bind the real one


@dataclasses.dataclass(frozen=True)
class Cell:
  """One run. config: digest of its gin text, which lacks the seed and the directory.

  differs: cost relative to the baseline's at the same point. comparable: what must be
  equal for two losses to mean the same. held_out: see sweep.Ladder. branch: where it goes
  on from another cell {"of": its address, "step"}, with the "tokens" and "flops" that are
  left to train; steps, tokens and flops are those of the whole length.
  """

  address: str
  arm: str
  point: dict[str, object]
  seed: int
  config: str
  solved: list[str]
  steps: int
  params: int
  tokens: int
  flops: float
  differs: dict[str, float]
  comparable: dict[str, str]
  held_out: bool
  branch: dict[str, object] | None = None


@dataclasses.dataclass(frozen=True)
class Expansion:
  """cells: in the order in which they should run. texts: config digest -> gin text."""

  cells: tuple[Cell, ...]
  texts: dict[str, str]


def read(files: Sequence[str], bindings=(), search_paths=()) -> Study:
  """The study that gin files describe."""
  return config.parse(files, bindings, search_paths).build_study()


def expand(
  study: Study, *, code: str, search_paths: Sequence[str] = (), bindings=()
) -> Expansion:
  """Every cell of the study: all first seeds before all second seeds, held-out last.

  bindings: laid over the base of every arm, below the arm's own.
  """
  reader = _Reader(study, tuple(search_paths), tuple(bindings))
  planned = _Planned(reader, tuple(_rows(study, reader, code)), study.schedule)
  texts: dict[str, str] = {}
  groups = [planned.cells(number, texts) for number in range(len(planned.rows))]
  # Interleaved, so that a study stopped early holds whole pairs.
  rows = itertools.zip_longest(*groups)
  cells = tuple(cell for row in rows for cell in row if cell is not None)
  cells = tuple(sorted(cells, key=lambda cell: cell.held_out))
  _check_distinct(cells)
  return Expansion(cells, texts)


@dataclasses.dataclass(frozen=True)
class _Built:
  """A run, the gin text that builds it again, what it costs, and what was solved."""

  run: object
  text: str
  cost: budget.Cost
  solved: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Reader:
  """Builds runs of one study."""

  study: Study
  search_paths: tuple[str, ...]
  bindings: tuple[str, ...]

  def config(self, arm: Arm, point: Point, more: tuple[str, ...]) -> config.Config:
    # The last of two bindings wins; a point must not undo what an arm is.
    _check_no_clash(arm, point)
    return config.parse(
      [*self.study.base, *arm.gin_files],
      [
        *self.bindings,
        *arm.overlay(),
        *point.bindings,
        *more,
        f"run.Run.model_dir = {NOWHERE!r}",
      ],
      self.search_paths,
    )

  def build(self, arm: Arm, point: Point, more: tuple[str, ...] = ()) -> _Built:
    try:
      written = self.config(arm, point, more)
      run = written.build()
    except ConfigError as error:
      raise ConfigError(f"arm {arm.name!r}: {error}") from error
    return _Built(run, written.text(), budget.cost(run), more)

  def sized(self, arm: Arm, point: Point) -> _Built:
    """With as many steps as the point's length asks for."""
    if point.length is None:
      return self.build(arm, point)
    again = lambda more: self.build(arm, point, more).run
    return self.build(arm, point, budget.steps_for(again, point.length))

  def matched(self, arm: Arm, point: Point, base: _Built) -> _Built:
    """As the study asks for beside the baseline; a knob leaves the baseline's steps."""
    if self.study.match is None:
      return self.sized(arm, point)
    by_steps = arm.knob is None and self.study.match != "params"
    kept = () if by_steps else base.solved
    solved = budget.solve(
      lambda more: self.build(arm, point, (*kept, *more)).run,
      base.cost,
      arm=arm,
      match=self.study.match,
      tolerance=self.study.tolerance,
    )
    return self.build(arm, point, (*kept, *solved))


@dataclasses.dataclass(frozen=True)
class _Row:
  """An arm at a point. base: what the baseline costs there. what: see `_what`."""

  arm: Arm
  point: Point
  built: _Built
  base: budget.Cost
  what: dict[str, object]
  seeds: tuple[int, ...]


def _rows(study: Study, reader: _Reader, code: str) -> Iterator[_Row]:
  for point in study.points():
    base = reader.sized(study.reference(), point)
    seeds = point.seeds or study.seeds.values
    for arm in study.arms:
      built = base if arm.name == study.baseline else reader.matched(arm, point, base)
      yield _Row(arm, point, built, base.cost, _what(built.run, code), seeds)


@dataclasses.dataclass(frozen=True)
class _Planned:
  """All rows of a study, and what they are to each other."""

  reader: _Reader
  rows: tuple[_Row, ...]
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
        own[how] = _digest(built.text)[:16]
        texts[own[how]] = built.text
      found.append(
        Cell(
          address=self.address(number, seed),
          arm=row.arm.name,
          point=dict(row.point.labels),
          seed=seed,
          config=own[how],
          solved=list(row.built.solved),
          **dataclasses.asdict(row.built.cost),
          differs=row.built.cost.relative_to(row.base),
          comparable=comparable(row.built.run),
          held_out=row.point.held_out,
          branch=self.branch(number, seed, part),
        )
      )
    return found

  def address(self, number: int, seed: int) -> str:
    """Of a cell. That of a branch follows from its trunk's."""
    part = self.parts[number].get(seed, trunks.ALONE)
    what = self.rows[number].what | {"seed": seed}
    if part.of is not None:
      what["branch"] = {"of": self.address(part.of, seed), "step": part.step}
    return _digest(what)

  def branch(self, number: int, seed: int, part: trunks.Part) -> dict | None:
    """`Cell.branch` of a cell."""
    if part.of is None:
      return None
    left = budget.cost(self.rows[number].built.run, since=part.step)
    trunk = self.address(part.of, seed)
    return {"of": trunk, "step": part.step, "tokens": left.tokens, "flops": left.flops}


def _what(run: object, code: str) -> dict[str, object]:
  """Everything but the seed that decides the result of a run."""
  evaluation = identity.identity(run.evaluation)
  return {
    "run": identity.identity(run) | {"seed": None},
    "steps": run.steps,
    "evaluation": {name: evaluation[name] for name in ("batches", "task")},
    "execution": identity.identity(run.execution),
    "microbatches": run.microbatches,
    "code": code,
  }


def comparable(run: object) -> dict[str, str]:
  """What must be equal for the held-out losses of two runs to mean the same.

  The layout is not in it: how a task's examples become rows is part of a model.
  """
  task = run.evaluation.task or run.task
  leaves = getattr(task, "leaves", (task,))
  part = lambda name: _short([identity.identity(t).get(name) for t in leaves])
  rows = run.evaluation.batches
  return {
    "vocabulary": part("vocabulary"),
    "held-out data": part("validation"),
    "objective of the evaluation": part("objective"),
    "lengths": _short(run.lengths),
    "rows evaluated": "all" if rows is None else str(rows * run.batch),
    "loss": _short(identity.identity(run.loss)),
  }


def _short(value: object) -> str:
  """A value as text; a digest of it where the text is long."""
  text = json.dumps(value, sort_keys=True)
  return text if len(text) <= 200 else f"{text[:180]}... {_digest(text)[:8]}"


def _digest(value: object) -> str:
  text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:32]


def _check_no_clash(arm: Arm, point: Point) -> None:
  name = lambda binding: binding.partition("=")[0].strip()
  both = {name(b) for b in arm.overlay()} & {name(b) for b in point.bindings}
  if both:
    raise ConfigError(
      f"arm {arm.name!r} and an axis both bind {', '.join(sorted(both))}. Bind it in one "
      "of them."
    )


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
