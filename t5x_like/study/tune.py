"""Tune: every arm's own search for learning rates and the like, before its seeds are run.

You are in: t5x_like/study, pure part (standard library; Halton needs scipy, Optuna the
package optuna, each imported when it is used). Upstream: a gin file. Downstream:
searches.py asks for trials, rungs.py stops bad ones early.

Arms that were tuned differently are not compared but their tuning is. So all get the same
number of trials at every point, trials are never pruned across arms, and the setting that
is found is trained again with seeds that took no part in the search. Trials are asked for
in rounds of which each knows all results of the earlier ones: which settings are tried
does not depend on which worker was faster.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence

from t5x_like.study import ranges

part = dataclasses.dataclass(frozen=True, kw_only=True)
Setting = dict[str, object]  # name of a binding -> value


@dataclasses.dataclass(frozen=True)
class Trial:
  """A setting that was tried, and what came of it.

  state: of store.py; None while it runs. loss: its last, None unless it is done. curve:
  (step, loss) as far as it was trained.
  """

  number: int
  round: int
  values: Setting
  address: str
  state: str | None = None
  loss: float | None = None
  curve: tuple[tuple[int, float], ...] = ()


@part
class Halton:
  """Low-discrepancy points: they fill a range evenly, whatever their number."""

  rounds: int = 1

  def ask(
    self, of: dict, ended: Sequence[Trial], count: int, seed: int
  ) -> list[Setting]:
    """`count` settings more than those that have `ended`."""
    from scipy.stats import qmc  # a second to import

    points = qmc.Halton(len(of), rng=seed).random(len(ended) + count)[len(ended) :]
    return [_setting(of, shares) for shares in points.tolist()]


@part
class Random:
  """Independent draws."""

  rounds: int = 1

  def ask(
    self, of: dict, ended: Sequence[Trial], count: int, seed: int
  ) -> list[Setting]:
    """`count` settings more than those that have `ended`."""
    generator = random.Random(seed)
    draws = [[generator.random() for _ in of] for _ in range(len(ended) + count)]
    return [_setting(of, shares) for shares in draws[len(ended) :]]


@part
class Optuna:
  """A sampler of the package optuna by its name, such as "TPESampler" or "GPSampler".

  options: its keyword arguments. rounds: how often it looks at results.
  """

  sampler: str = "TPESampler"
  options: dict = dataclasses.field(default_factory=dict)
  rounds: int = 4

  def ask(
    self, of: dict, ended: Sequence[Trial], count: int, seed: int
  ) -> list[Setting]:
    """`count` settings that the sampler proposes after those that have `ended`."""
    from t5x_like.study import optuna_trials

    return optuna_trials.ask(
      self.sampler, self.options, of, ended, count=count, seed=seed + len(ended)
    )


@part
class Halving:
  """Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943) inside a round.

  All trials of a round stop at each share `at` of their steps; the best 1/factor go on.
  Not its asynchronous form (ASHA): that one keeps whoever comes first, so that a table
  would depend on the speed of workers. Early looks mislead, most of all under a rate
  that decays: leave them at a quarter of the steps or more.
  """

  at: tuple[float, ...] = (0.25, 0.5)
  factor: int = 4

  def __post_init__(self):
    object.__setattr__(self, "at", tuple(self.at))
    ascending = all(a < b for a, b in zip((0, *self.at), (*self.at, 1), strict=True))
    if not self.at or not ascending:
      raise ValueError(f"Halving.at={self.at} must be shares of the steps, ascending.")
    if self.factor < 2:
      raise ValueError(f"Halving.factor={self.factor} must be 2 or more.")

  def looks(self, *, steps: int, period: int) -> tuple[int, ...]:
    """The steps at which trials are compared: evaluations nearest to `at`.

    Raises ValueError where evaluations are too rare.
    """
    found = tuple(max(1, round(share * steps / period)) * period for share in self.at)
    if len({*found, steps}) <= len(found) or found[-1] >= steps:
      raise ValueError(
        f"Halving.at={self.at} of {steps} steps: with an evaluation every {period} steps "
        f"trials would be compared at steps {found}. Evaluate more often (EVAL_PERIOD)."
      )
    return found


@part
class Tune:
  """What every arm searches at every point. Arm.tune lays its own ranges over `of`.

  of: {"PEAK_LEARNING_RATE": ("log", 1e-4, 1e-1)}, ranges of ranges.py by what they bind.
  trials: settings tried. sampler: which. halving: None trains every trial to its end.
  seed: of all trials and of the sampler, none of the study's own, so that a lucky draw
  does not count twice.
  """

  of: dict[str, tuple]
  trials: int = 16
  sampler: object = Halton()
  halving: Halving | None = None
  seed: int = 1000

  def __post_init__(self):
    ranges.check("Tune.of", self.of)
    rounds = self.sampler.rounds
    if not 1 <= rounds <= self.trials:
      raise ValueError(
        f"Tune.trials={self.trials} in {rounds} rounds of {self.sampler}: there must be "
        "one round or more, and a trial in each."
      )
    if self.halving and self.sizes()[-1] < self.halving.factor:
      raise ValueError(
        f"Tune.trials={self.trials} in {rounds} rounds are {self.sizes()[-1]} in the "
        f"last; Halving.factor={self.halving.factor} keeps one of as many or more."
      )

  def sizes(self) -> tuple[int, ...]:
    """Trials of each round, the larger rounds first."""
    each, more = divmod(self.trials, self.sampler.rounds)
    return tuple(each + (number < more) for number in range(self.sampler.rounds))


def edges(of: dict, trials: Sequence[Trial], best: Trial) -> list[str]:
  """Names of which the best value is the lowest or the highest one tried: the range
  should be wider there."""
  found = []
  for name, (kind, *_) in of.items():
    tried = {trial.values[name] for trial in trials}
    ends = (min(tried), max(tried)) if kind != "choice" else ()
    if len(tried) > 2 and best.values[name] in ends:
      found.append(name)
  return found


def best(trials: Sequence[Trial]) -> Trial | None:
  """The trial with the lowest last loss; None where none has one."""
  done = [t for t in trials if t.loss is not None and math.isfinite(t.loss)]
  return min(done, key=lambda trial: (trial.loss, trial.number), default=None)


def _setting(of: dict, shares: Sequence[float]) -> Setting:
  return {
    name: ranges.at(how, share)
    for (name, how), share in zip(of.items(), shares, strict=True)
  }
