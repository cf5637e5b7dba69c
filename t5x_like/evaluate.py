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
from t5x_like.engine import Engine


def losses(
  engine: Engine, params: dict, batches: Iterable[dict[str, np.ndarray]]
) -> dict[str, float]:
  """loss (nats per target token), accuracy and target tokens over all `batches`.

  Raises ValueError when there is no batch: a mean over nothing is no number.
  """
  total = None
  for batch in batches:
    sums = engine.eval_step(params, engine.put(batch))
    total = sums if total is None else jax.tree.map(lambda a, b: a + b, total, sums)
  if total is None:
    raise ValueError(
      "The evaluation data has no row. Check the task's validation source, or set "
      "EVAL_STEPS to 0 to train without evaluation."
    )
  values = jax.device_get(step.per_token(total))
  return {name: float(value) for name, value in values.items()}


def first(batches: Iterable, count: int) -> Iterable:
  """The first `count` batches, or all when `count` is None."""
  return itertools.islice(batches, count)
