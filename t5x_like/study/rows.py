"""Rows: an arm at a point, and the cell that each of its seeds makes.

You are in: t5x_like/study. Upstream: runs that reader.py built. Downstream: cells.py.

The address of a cell is a hash of what decides the result: the run's identity (the
configuration without paths), its length, what it is evaluated on, its arithmetic and the
code version. Names, labels and where things lie are not in it, so an equal run of another
study, or a renamed arm, is found and not repeated.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json

from t5x_like import identity
from t5x_like.study import budget
from t5x_like.study.reader import Built
from t5x_like.study.study import Arm
from t5x_like.study.sweep import Point


@dataclasses.dataclass(frozen=True)
class Cell:
  """One run. config: digest of its gin text, which lacks the seed and the directory.

  differs: cost relative to the baseline's at the same point. comparable: what must be
  equal for two losses to mean the same. held_out: see sweep.Ladder. branch: where it goes
  on from another cell {"of": its address, "step"}, with the "tokens" and "flops" that are
  left to train; steps, tokens and flops are those of the whole length. trial: of a search,
  {"number", "round", "values", "looks": steps at which bad ones stop, "factor"}. tuned:
  what the search of its arm found, {"values", "trial": address, "trials", "edges"}.
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
  trial: dict[str, object] | None = None
  tuned: dict[str, object] | None = None


@dataclasses.dataclass(frozen=True)
class Row:
  """An arm at a point. base: what the baseline costs there. what: see `what_decides`. tuned: see
  `Cell`."""

  arm: Arm
  point: Point
  built: Built
  base: budget.Cost
  what: dict[str, object]
  seeds: tuple[int, ...]
  tuned: dict[str, object] | None = None

  def cell(self, address: str, seed: int, config: str, **more) -> Cell:
    """One of its cells."""
    return Cell(
      address=address,
      arm=self.arm.name,
      point=dict(self.point.labels),
      seed=seed,
      config=config,
      solved=list(self.built.solved),
      **dataclasses.asdict(self.built.cost),
      differs=self.built.cost.relative_to(self.base),
      comparable=comparable(self.built.run),
      held_out=self.point.held_out,
      tuned=self.tuned,
      **more,
    )


def what_decides(run: object, code: str) -> dict[str, object]:
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
  return text if len(text) <= 200 else f"{text[:180]}... {digest(text)[:8]}"


def digest(value: object) -> str:
  text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:32]
