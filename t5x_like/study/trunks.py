"""Trunks: which runs of a study are one run until the shorter ones begin to decay.

You are in: t5x_like/study. Upstream: cells.py, with the runs of all arms and points.
Downstream: their configurations and addresses. Runs that differ in nothing but their
length have, with warm-up, stable, decay, the same rates until the decay of the shorter
begins; so the longest is trained once, as the trunk, and keeps its whole state there.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

# Fields of schedules.WSD that say nothing of the steps before the decay.
WSD = "WSD"
OF_THE_DECAY = ("steps", "decay", "final")
# Of what decides a result, what says nothing of the steps before the last.
OF_THE_END = ("steps", "evaluation")


@dataclasses.dataclass(frozen=True)
class Part:
  """What a run is to others. kept: steps at which others leave it. of, step: the number of
  the run that it leaves, and where."""

  kept: tuple[int, ...] = ()
  of: int | None = None
  step: int = 0

  def bindings(self) -> tuple[str, ...]:
    """What its configuration has beside that of a run alone; workers bind the path."""
    if self.of is not None:
      return (
        "run.Run.branch = @run.Branch()",
        "run.Branch.path = 'unset'",
        f"run.Branch.step = {self.step}",
      )
    return (f"run.Checkpoint.keep_steps = {self.kept}",) if self.kept else ()


ALONE = Part()


def parts(
  runs: Sequence[object], decides: Sequence[dict], seeds: Sequence[tuple[int, ...]]
) -> list[dict[int, Part]]:
  """For each run {seed: Part}; seeds that are not in it train alone.

  decides: what the result of each run follows from, but for the seed; see cells.py.
  Raises ValueError for another schedule, and where no two runs share a trunk.
  """
  groups: dict[tuple[str, int], list[int]] = {}
  for number, (run, what) in enumerate(zip(runs, decides, strict=True)):
    _check(run)
    for seed in seeds[number]:
      groups.setdefault((_until_decay(what), seed), []).append(number)
  found: list[dict[int, Part]] = [{} for _ in runs]
  stable = [run.optimizer.learning_rate.stable for run in runs]
  for (_, seed), members in groups.items():
    trunk = max(members, key=lambda number: (stable[number], runs[number].steps))
    # A run that decays from its first step on shares nothing.
    leaving = [number for number in members if number != trunk and stable[number]]
    for number in leaving:
      found[number][seed] = Part(of=trunk, step=stable[number])
    steps = {stable[number] for number in leaving}
    kept = steps.union(runs[trunk].checkpoint.keep_steps)
    found[trunk][seed] = Part(kept=tuple(sorted(kept)))
  if not any(part.of is not None for own in found for part in own.values()):
    raise ValueError(
      "Study.schedule='wsd_branch', and no two runs differ in their length alone. Give "
      "an axis lengths, such as sweep.Grid.of = {'TRAIN_STEPS': [100, 200]}."
    )
  return found


def _until_decay(what: dict) -> str:
  """Equal for runs that are the same until the shorter begins to decay."""
  kept = {name: value for name, value in what.items() if name not in OF_THE_END}
  kept["run"] = kept["run"] | {"optimizer": _without_decay(kept["run"]["optimizer"])}
  return json.dumps(kept, sort_keys=True)


def _without_decay(value: object) -> object:
  if isinstance(value, list):
    return [_without_decay(item) for item in value]
  if not isinstance(value, dict):
    return value
  left_out = OF_THE_DECAY if value.get("is") == WSD else ()
  return {k: _without_decay(v) for k, v in value.items() if k not in left_out}


def _check(run: object) -> None:
  schedule = run.optimizer.learning_rate
  if type(schedule).__name__ != WSD:
    raise ValueError(
      f"Study.schedule='wsd_branch' needs rates that do not depend on the length of the "
      f"run before they decay; {schedule} is no schedules.WSD. Bind the optimizer's "
      "learning_rate to @schedules.WSD()."
    )
  if schedule.steps != run.steps:
    raise ValueError(
      f"The run has {run.steps} steps and its schedule {schedule.steps}; bind "
      "schedules.WSD.steps = %TRAIN_STEPS."
    )
