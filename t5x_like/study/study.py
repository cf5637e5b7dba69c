"""Study: a question, and the runs that answer it, as one frozen value.

You are in: t5x_like/study, pure part (standard library only). Upstream: a gin file, read
by t5x_like.config. Downstream: cells.py expands it. Overlays are gin text, so that every
run can be repeated with `t5x_like train` alone.
"""

from __future__ import annotations

import dataclasses

from t5x_like.study import ranges
from t5x_like.study.sweep import Point, product
from t5x_like.study.tune import Tune

part = dataclasses.dataclass(frozen=True, kw_only=True)
MATCHES = ("tokens", "flops", "params")
SCHEDULES = ("matched", "wsd_branch")


@part
class Arm:
  """One answer to the question: what is laid over the base run.

  gin_files and bindings are read after the base, in this order. swaps: parts of the
  model to replace, {"GatedFFN": "@ffn.FFN()"}. knob: the binding of one integer, such as
  "ffn.FFN.hidden", which `Study.match` may change in steps of `multiple`. tune: ranges
  laid over those of `Study.tune`, where an arm's own are elsewhere.
  """

  name: str
  bindings: tuple[str, ...] = ()
  gin_files: tuple[str, ...] = ()
  swaps: dict[str, str] = dataclasses.field(default_factory=dict)
  knob: str | None = None
  multiple: int = 1
  tune: dict[str, tuple] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    if not self.name or set(self.name) & set("/,= \n"):
      raise ValueError(
        f"Arm.name={self.name!r} must be a word without '/', ',', '=' and spaces."
      )
    if self.multiple < 1:
      raise ValueError(f"Arm.multiple={self.multiple} must be 1 or more.")

  def overlay(self) -> tuple[str, ...]:
    """The arm's bindings, swaps included."""
    lines = []
    for index, (old, new) in enumerate(self.swaps.items()):
      lines.append(f"swap{index}/spec.Swap.old = {old!r}")
      lines.append(f"swap{index}/spec.Swap.new = {new}")
    if self.swaps:
      parts = ", ".join(f"@swap{index}/spec.Swap()" for index in range(len(self.swaps)))
      lines.insert(0, f"run.Run.swaps = ({parts},)")
    return (*lines, *self.bindings)


@part
class Seeds:
  """Seeds of every arm at every point. Runs with equal seeds share the order of the data
  and the initial values of all that they share, and are compared in pairs."""

  values: tuple[int, ...] = (0, 1, 2)

  def __post_init__(self):
    if not self.values or len(set(self.values)) < len(self.values):
      raise ValueError(
        f"Seeds.values={self.values} must be one or more, all different."
      )


@part
class Study:
  """Arms by points by seeds over one base run.

  base: gin files of a whole run. axes: sweep.Grid and others; every arm is run at every
  point of their product. metric: a name in metrics.jsonl, of which the last value
  counts; lower is better. baseline: the arm that the others are compared with, by
  default the first. match: what is made equal to the baseline, "tokens", "flops" or
  "params", by the arm's `knob`, or without one by the number of steps; `tolerance` is
  the largest relative difference that may be left. schedule: "matched" trains every run
  from its first step; "wsd_branch" trains runs that differ in their length alone once, up
  to where the shorter ones decay (trunks.py). Both give the same numbers. tune: what each
  arm searches at each point before its seeds are run with what was found (tune.py).
  """

  name: str
  base: tuple[str, ...]
  arms: tuple[Arm, ...]
  question: str = ""
  axes: tuple[object, ...] = ()
  seeds: Seeds = Seeds()
  metric: str = "validation/loss"
  baseline: str | None = None
  match: str | None = None
  tolerance: float = 0.01
  schedule: str = "matched"
  tune: Tune | None = None

  def __post_init__(self):
    names = [arm.name for arm in self.arms]
    if not names or len(set(names)) < len(names):
      raise ValueError(f"Study.arms={names} must be one or more, named differently.")
    if self.baseline is not None and self.baseline not in names:
      raise ValueError(f"Study.baseline={self.baseline!r} must be one of {names}.")
    if self.match is not None and self.match not in MATCHES:
      raise ValueError(f"Study.match={self.match!r} must be one of {MATCHES} or None.")
    if self.schedule not in SCHEDULES:
      raise ValueError(f"Study.schedule={self.schedule!r} must be one of {SCHEDULES}.")
    if not self.base:
      raise ValueError(f"Study.base={self.base} must name the gin files of a run.")
    object.__setattr__(self, "baseline", self.baseline or names[0])
    _check_tune(self)

  def points(self) -> tuple[Point, ...]:
    """The product of the axes; one empty point without axes."""
    return product(self.axes)

  def reference(self) -> Arm:
    """The baseline."""
    return next(arm for arm in self.arms if arm.name == self.baseline)

  def searched(self, arm: Arm) -> dict[str, tuple]:
    """The ranges that an arm is tuned over; empty without a search."""
    return self.tune.of | arm.tune if self.tune else {}


def _check_tune(study: Study) -> None:
  own = [arm.name for arm in study.arms if arm.tune]
  if study.tune is None:
    if own:
      raise ValueError(f"Arm.tune of {own} needs Study.tune = @tune.Tune().")
    return
  for arm in study.arms:
    ranges.check(f"Arm.tune of {arm.name!r}", study.searched(arm))
  seeds = {*study.seeds.values, *(s for point in study.points() for s in point.seeds)}
  if study.tune.seed in seeds:
    raise ValueError(
      f"Tune.seed={study.tune.seed} must be none of the study's seeds {sorted(seeds)}: "
      "the best trial's luck would count twice."
    )
