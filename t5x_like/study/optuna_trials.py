"""Optuna: trials of a search, told to a sampler of the package optuna that proposes more.

You are in: t5x_like/study, the edge (needs the package `optuna`, imported when it is
used). Upstream: tune.Optuna. The study of optuna lives in memory for one call: what is
tried and how it ended is known from run directories alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from t5x_like.study.tune import Setting, Trial


def ask(
  sampler: str,
  options: dict,
  of: dict,
  ended: Sequence[Trial],
  *,
  count: int,
  seed: int,
) -> list[Setting]:
  """`count` settings; the same ones for the same arguments.

  Raises ValueError without the package, or where it refuses the sampler.
  """
  optuna = _optuna()
  kind = getattr(optuna.samplers, sampler, None)
  if kind is None:
    known = [name for name in optuna.samplers.__all__ if name.endswith("Sampler")]
    raise ValueError(f"Optuna.sampler={sampler!r} must be one of {', '.join(known)}.")
  distributions = {name: _distribution(optuna, how) for name, how in of.items()}
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    try:
      study = optuna.create_study(sampler=kind(seed=seed, **options))
      study.add_trials([_told(optuna, trial, distributions) for trial in ended])
      return [study.ask(distributions).params for _ in range(count)]
    except (TypeError, ImportError) as error:
      raise ValueError(
        f"optuna refuses Optuna.sampler={sampler!r} with options={options}: {error}"
      ) from error


def _told(optuna, trial: Trial, distributions: dict):
  """A trial as optuna keeps it. One that diverged is worse than all: it must count."""
  pruned = trial.state == "pruned"
  return optuna.trial.create_trial(
    params=trial.values,
    distributions=distributions,
    value=None if pruned else math.inf if trial.loss is None else trial.loss,
    state=optuna.trial.TrialState[("PRUNED" if pruned else "COMPLETE")],
    intermediate_values=dict(trial.curve) if pruned else None,
  )


def _distribution(optuna, how: tuple):
  kind, *values = how
  make = optuna.distributions
  if kind == "choice":
    return make.CategoricalDistribution(values)
  if kind == "int":
    return make.IntDistribution(*values)
  return make.FloatDistribution(*values, log=kind == "log")


def _optuna():
  try:
    import optuna
  except ModuleNotFoundError:
    raise ValueError(
      "tune.Optuna needs the package optuna: pip install 't5x_like[tune]'. tune.Halton "
      "and tune.Random need nothing."
    ) from None
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  return optuna
