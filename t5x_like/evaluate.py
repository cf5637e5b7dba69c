"""Evaluation: losses on held-out data, and what the model says.

You are in: t5x_like. Used by the loop at every evaluation period and by the `eval` verb
on a finished run; both see the same rows in the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import jax
import numpy as np

from t5x_like import step
from t5x_like.checkpoint import restore_params
from t5x_like.data.pipeline import Pipeline
from t5x_like.engine import Engine
from t5x_like.run import Run


def losses(
  engine: Engine, params: dict, batches: Iterable[dict[str, np.ndarray]]
) -> dict[str, float]:
  """loss (nats per target token), accuracy and target tokens over all `batches`.

  Raises ValueError when there is no batch: a mean over nothing is no number.
  """
  return _means(_sums(engine, params, batches))


def _sums(engine: Engine, params: dict, batches: Iterable[dict]) -> dict:
  total = None
  for batch in batches:
    sums = engine.eval_step(params, engine.put(batch))
    total = sums if total is None else jax.tree.map(lambda a, b: a + b, total, sums)
  if total is None:
    raise ValueError(
      "The evaluation data has no row. Check the task's validation source, or set "
      "EVAL_STEPS to 0 to train without evaluation."
    )
  return total


def _means(sums: dict) -> dict[str, float]:
  values = jax.device_get(step.per_token(sums))
  return {name: float(value) for name, value in values.items()}


def first(batches: Iterable, count: int) -> Iterable:
  """The first `count` batches, or all when `count` is None."""
  return itertools.islice(batches, count)


def evaluate(run: Run, *, checkpoint: str, step: int | None = None) -> dict[str, float]:
  """What the `eval` verb prints: losses of a trained model on its validation data.

  checkpoint: a run directory. step: which of its checkpoints; the newest by default.
  """
  engine = Engine(run)
  params = trained(engine, checkpoint, step)
  pipeline = data(run, engine)
  check_vocabulary(run, pipeline)
  return of_tasks(engine, params, pipeline, run.evaluation.batches)


def of_tasks(
  engine: Engine, params: dict, pipeline: Pipeline, count: int | None
) -> dict[str, float]:
  """Losses over the first `count` batches of every evaluated task, each with its name
  in front, and over all of them together. With one task, only the latter."""
  values, every = {}, []
  for name, batches in pipeline.evaluations().items():
    sums = _sums(engine, params, first(batches, count))
    every.append(sums)
    values |= {f"{name}/{key}": value for key, value in _means(sums).items()}
  total = jax.tree.map(lambda *parts: sum(parts), *every)
  return _means(total) | (values if len(every) > 1 else {})


def trained(engine: Engine, checkpoint: str, step: int | None) -> dict:
  """Parameters of a checkpoint, placed on the engine's mesh."""
  path = f"{checkpoint}/checkpoints/{step}" if step is not None else checkpoint
  return restore_params(path, engine.abstract_params())


def data(run: Run, engine: Engine | None = None) -> Pipeline:
  """The pipeline of a run: the rows that this process puts on the engine's mesh; without
  one, all of them."""
  own = {} if engine is None else {"rows": engine.rows}
  return Pipeline(
    run.task,
    lengths=run.lengths,
    batch=run.batch,
    seed=run.seed,
    data_dir=run.data_dir,
    later=run.stages,
    evaluated=run.evaluation.task,
    workers=run.data_workers,
    **own,
  )


def check_vocabulary(run: Run, pipeline: Pipeline) -> None:
  """ValueError when the data has ids that the model's table has no row for."""
  ids, rows = pipeline.vocabulary.size, run.model.vocab
  if ids > rows:
    raise ValueError(
      f"The vocabulary has {ids} ids, the model's embedding table {rows} rows: ids "
      "beyond it would silently read the last row. Use a smaller vocabulary or a model "
      "with a larger `vocab`."
    )
