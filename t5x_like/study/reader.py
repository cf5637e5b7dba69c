"""Reader: builds the runs of a study from its gin files, and solves how long they are.

You are in: t5x_like/study. Upstream: a Study. Downstream: rows of a plan (rows.py). The
only part of a study that reads the configurations of runs.
"""

from __future__ import annotations

import dataclasses

from t5x_like import config
from t5x_like.statements import ConfigError
from t5x_like.study import budget
from t5x_like.study.study import Arm, Study
from t5x_like.study.sweep import Point

NOWHERE = "unset"  # the model_dir while planning; workers bind the real one


@dataclasses.dataclass(frozen=True)
class Built:
  """A run, the gin text that builds it again, what it costs, and what was solved."""

  run: object
  text: str
  cost: budget.Cost
  solved: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Reader:
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

  def build(self, arm: Arm, point: Point, more: tuple[str, ...] = ()) -> Built:
    try:
      written = self.config(arm, point, more)
      run = written.build()
    except ConfigError as error:
      raise ConfigError(f"arm {arm.name!r}: {error}") from error
    return Built(run, written.text(), budget.cost(run), more)

  def sized(self, arm: Arm, point: Point) -> Built:
    """With as many steps as the point's length asks for."""
    if point.length is None:
      return self.build(arm, point)
    again = lambda more: self.build(arm, point, more).run
    return self.build(arm, point, budget.steps_for(again, point.length))

  def matched(self, arm: Arm, point: Point, base: Built) -> Built:
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


def _check_no_clash(arm: Arm, point: Point) -> None:
  name = lambda binding: binding.partition("=")[0].strip()
  both = {name(b) for b in arm.overlay()} & {name(b) for b in point.bindings}
  if both:
    raise ConfigError(
      f"arm {arm.name!r} and an axis both bind {', '.join(sorted(both))}. Bind it in one "
      "of them."
    )
