"""Budget: what a run costs, and how an arm is made to cost what the baseline does.

You are in: t5x_like/study. Upstream: runs that cells.py builds. Parameters are all that
are declared; tokens are positions of the model's rows, padding included; FLOPs are those
of models/components/flops.py. What was not matched is recorded beside what was.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from models.components import flops, param

COARSE = 0.05  # of a length: so few steps are no training
MOST = 2**24  # of a knob: beyond, the quantity does not depend on it


@dataclasses.dataclass(frozen=True)
class Cost:
  """Of a whole run. tokens: positions of all rows, padding included."""

  steps: int
  params: int
  tokens: int
  flops: float

  def relative_to(self, other: Cost) -> dict[str, float]:
    """How much more than `other`, as a fraction of it."""
    names = ("tokens", "flops", "params")
    return {
      n: getattr(self, n) / getattr(other, n) - 1 if other.steps else 0.0 for n in names
    }


def cost(run: object, *, since: int = 0) -> Cost:
  """The cost of a run from step `since` on, over all of its stages."""
  tokens, total = 0, 0.0
  stages = run.settled
  ends = [stage.start for stage in stages[1:]] + [run.steps]
  for stage, end in zip(stages, ends, strict=True):
    steps = max(0, min(end, run.steps) - max(stage.start, since))
    lengths = _lengths(stage)
    tokens += steps * stage.batch * sum(lengths.values())
    total += steps * stage.batch * _row_flops(run.model, tuple(lengths.items()))
  return Cost(run.steps - since, _params(run.model), tokens, float(total))


# Most points of a study share their model.
_params = functools.lru_cache(maxsize=256)(param.count)


@functools.lru_cache(maxsize=256)
def _row_flops(model: object, lengths: tuple[tuple[str, int], ...]) -> float:
  return flops.step_flops(model, batch=1, lengths=dict(lengths))


def _lengths(stage: object) -> dict[str, int]:
  shapes = stage.task.shapes(stage.lengths, stage.batch)
  names = {side: f"{side}_input_tokens" for side in ("encoder", "decoder")}
  return {side: shapes[name][1] for side, name in names.items() if name in shapes}


def solve(
  build: Callable[[tuple[str, ...]], object], base: Cost, *, arm, match, tolerance
) -> tuple[str, ...]:
  """What to bind so that `match` of the arm's run equals the baseline's.

  build: makes the run from further bindings. Raises ValueError when the nearest that can
  be had differs by more than `tolerance`.
  """
  if arm.knob is not None:
    bindings = (f"{arm.knob} = {_knob(build, getattr(base, match), arm, match)}",)
  elif match == "params":
    bindings = ()
  else:
    bindings = _steps(build, getattr(base, match), match)
  differs = cost(build(bindings)).relative_to(base)
  if abs(differs[match]) > tolerance:
    raise ValueError(
      f"Arm {arm.name!r} has {differs[match]:+.2%} {match} of the baseline's "
      f"({', '.join(bindings) or 'nothing to solve'}); Study.tolerance is "
      f"{tolerance:.2%}. Give it a knob with a smaller multiple, or raise the tolerance."
    )
  return bindings


def steps_for(
  build: Callable[[tuple[str, ...]], object], length: tuple[str, float]
) -> tuple[str, ...]:
  """What to bind so that a run is as long as sweep.Point.length says.

  Raises ValueError when less than a step is left, or the nearest is 5 % off.
  """
  kind, wanted = length
  match = "flops" if kind == "flops" else "tokens"
  target = wanted if kind == "flops" else wanted * cost(build(())).params
  bindings = _steps(build, target, match)
  got = getattr(cost(build(bindings)), match)
  if abs(got / target - 1) > COARSE:
    raise ValueError(
      f"{kind}={wanted:g} asks for {target:.4g} {match}; the nearest number of steps has "
      f"{got:.4g}. Take a smaller batch, or a larger budget."
    )
  return bindings


def _steps(build: Callable, target: float, match: str) -> tuple[str, ...]:
  """The number of steps whose tokens or FLOPs come nearest."""
  run = build(())
  if len(run.settled) > 1:
    raise ValueError(
      f"match={match!r} cannot solve the steps of a run with stages; give every arm a "
      "knob, or no match."
    )
  each = getattr(cost(run), match) / run.steps
  steps = max(1, round(target / each))
  if steps == run.steps:
    return ()
  bindings = (f"TRAIN_STEPS = {steps}",)
  _check_schedule(run, build(bindings))
  return bindings


def _check_schedule(old: object, new: object) -> None:
  """A schedule that ends where the run used to would decide the comparison."""
  ends = [getattr(_schedule(run), "steps", None) for run in (old, new)]
  if ends[0] is not None and ends[0] == ends[1]:
    raise ValueError(
      f"The run now has {new.steps} steps and its schedule still {ends[1]}; bind the "
      f"schedule's to the run's: schedules.{type(_schedule(new)).__name__}.steps = "
      "%TRAIN_STEPS"
    )


def _schedule(run: object) -> object:
  return getattr(run.optimizer, "learning_rate", None)


def _knob(build: Callable, target: float, arm, match: str) -> int:
  """The multiple of `arm.multiple` at which `match` comes nearest to the target."""

  def value(times: int) -> float:
    knob = f"{arm.knob} = {times * arm.multiple}"
    return getattr(cost(build((knob,))), match)

  low, high = 0, 1
  while value(high) < target:
    low, high = high, 2 * high
    if high * arm.multiple > MOST:
      raise ValueError(
        f"Arm {arm.name!r}: {match} stay below the baseline's whatever {arm.knob} is; "
        "choose another knob."
      )
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (middle, high) if value(middle) < target else (low, middle)
  near = [times for times in (low, high) if times > 0]
  return arm.multiple * min(near, key=lambda times: abs(value(times) - target))
