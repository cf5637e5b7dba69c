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
import hashlib
import itertools
import json
from collections.abc import Sequence

from t5x_like import config, identity
from t5x_like.statements import ConfigError
from t5x_like.study import budget
from t5x_like.study.study import Arm, Study
from t5x_like.study.sweep import Point

NOWHERE = "unset"  # the model_dir while planning; workers bind the real one


@dataclasses.dataclass(frozen=True)
class Cell:
  """One run. config: digest of its gin text, which lacks the seed and the directory.

  differs: cost relative to the baseline's at the same point. comparable: what must be
  equal for two losses to mean the same. held_out: see sweep.Ladder.
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
  groups, texts = [], {}
  reader = _Reader(study, tuple(search_paths), tuple(bindings))
  for point in study.points():
    base = reader.sized(study.reference(), point)
    for arm in study.arms:
      cells, text = _group(study, reader, arm, point, base, code)
      texts[cells[0].config] = text
      groups.append(cells)
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


def _group(study, reader, arm, point, base, code) -> tuple[list[Cell], str]:
  """The cells of an arm at a point, one a seed, and their common gin text."""
  built = base if arm.name == study.baseline else reader.matched(arm, point, base)
  shared = {
    "arm": arm.name,
    "point": dict(point.labels),
    "config": _digest(built.text)[:16],
    "solved": list(built.solved),
    **dataclasses.asdict(built.cost),
    "differs": built.cost.relative_to(base.cost),
    "comparable": comparable(built.run),
    "held_out": point.held_out,
  }
  what = _what(built.run, code)
  cells = [
    Cell(address=_digest(what | {"seed": seed}), seed=seed, **shared)
    for seed in point.seeds or study.seeds.values
  ]
  return cells, built.text


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
