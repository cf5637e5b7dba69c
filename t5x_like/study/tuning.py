"""Tuning: rows of a study that wait for a search, and the trials of that search.

You are in: t5x_like/study. Upstream: cells.py, for each row. Downstream: searches.py says
what is tried next, rows.py makes cells of it.
"""

from __future__ import annotations

import dataclasses

from t5x_like import identity
from t5x_like.statements import ConfigError
from t5x_like.study import searches, sweep, tune
from t5x_like.study.reader import Built, Reader
from t5x_like.study.rows import Cell, Row, digest, what_decides


@dataclasses.dataclass(frozen=True)
class Tuning:
  """The searches of a study: collects their trials, and rows that wait for them."""

  reader: Reader
  code: str
  outcome: searches.Outcome
  texts: dict[str, str]
  trials: list[Cell] = dataclasses.field(default_factory=list)
  searching: list[dict] = dataclasses.field(default_factory=list)

  def tuned(self, row: Row, base: Built) -> Row | None:
    """The row with what its search found; None until there is something."""
    how, of = self.reader.study.tune, self.reader.study.searched(row.arm)
    if how is None:
      return row
    tried: dict[str, Row] = {}
    beside = {"seed": how.seed}
    if how.halving:  # a trial's end depends on those beside it
      beside["tune"] = identity.identity(how) | {"of": of}

    def address(values: tune.Setting) -> str:
      trial = self._with(row, base, values)
      tried[found := digest(trial.what | beside)] = trial
      return found

    search = searches.search(how, of, address, self.outcome)
    self.trials.extend(self._cell(tried[t.address], t) for t in search.trials)
    if search.best is None:
      self.searching.append(
        {
          "arm": row.arm.name,
          "point": dict(row.point.labels),
          "missing": search.missing,
          "runs": len(row.seeds),
          "flops": row.built.cost.flops * len(row.seeds),
        }
      )
      return None
    found = {
      "values": search.best.values,
      "trial": search.best.address,
      "trials": len(search.trials),
      "edges": tune.edges(of, search.trials, search.best),
    }
    return dataclasses.replace(tried[search.best.address], tuned=found)

  def _with(self, row: Row, base: Built, values: tune.Setting) -> Row:
    """The row with other values, which must not change what it costs."""
    added = sweep.point(values, values.values())
    clash = {name for name, _ in row.point.labels} & set(values)
    if clash:
      raise ConfigError(f"an axis and Study.tune both set {', '.join(sorted(clash))}.")
    bound = dataclasses.replace(added, labels=())
    built = self.reader.matched(row.arm, row.point + bound, base)
    extra = built.cost.relative_to(row.built.cost)["tokens"]
    if abs(extra) > self.reader.study.tolerance:
      raise ConfigError(
        f"arm {row.arm.name!r} with {values} trains {extra:+.1%} tokens: a search would "
        "choose who trains longest. Set Study.match='tokens' or 'flops', or leave that "
        "name out of Study.tune."
      )
    return dataclasses.replace(
      row, built=built, what=what_decides(built.run, self.code)
    )

  def _cell(self, row: Row, trial: tune.Trial) -> Cell:
    """The cell of a trial."""
    halving, run = self.reader.study.tune.halving, row.built.run
    told = {"number": trial.number, "round": trial.round, "values": trial.values}
    if halving is not None:
      looks = halving.looks(steps=run.steps, period=run.evaluation.period)
      told |= {"looks": list(looks), "factor": halving.factor}
    config = digest(row.built.text)[:16]
    self.texts[config] = row.built.text
    return row.cell(trial.address, self.reader.study.tune.seed, config, trial=told)
