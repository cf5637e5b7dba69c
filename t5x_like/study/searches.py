"""Searches: the trials of an arm at a point, asked for round by round.

You are in: t5x_like/study, pure part. Upstream: cells.py, whenever a study is planned.
Everything follows from how earlier trials ended, which run directories say; so planning
again after a round is how a search goes on, and nothing else has to be remembered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from t5x_like.study import tune
from t5x_like.study.tune import Setting, Trial, Tune

# How a run at an address ended: (state, last loss or None, curve); None: it has not.
Outcome = Callable[[str], tuple | None]


@dataclasses.dataclass(frozen=True)
class Search:
  """trials: all that were asked for so far. best: None while some have not ended.
  missing: why there is none."""

  trials: tuple[Trial, ...]
  best: Trial | None
  missing: str = ""


def search(
  how: Tune, of: dict, address: Callable[[Setting], str], outcome: Outcome
) -> Search:
  """How far a search is. address: of the run that tries a setting."""
  trials: list[Trial] = []
  for number, count in enumerate(how.sizes()):
    for values in how.sampler.ask(of, tuple(trials), count, how.seed):
      trial = Trial(len(trials), number, values, address(values))
      trials.append(_with_outcome(trial, outcome(trial.address)))
    left = sum(trial.state is None for trial in trials)
    if left:
      told = f"{len(trials) - left} of {how.trials} trials have ended"
      return Search(tuple(trials), None, told)
  best = tune.best(trials)
  missing = "" if best else f"none of its {how.trials} trials ended with a loss"
  return Search(tuple(trials), best, missing)


def _with_outcome(trial: Trial, ended: tuple | None) -> Trial:
  if ended is None:
    return trial
  state, loss, curve = ended
  pairs = tuple((int(step), float(value)) for step, value in curve)
  return dataclasses.replace(trial, state=state, loss=loss, curve=pairs)
