"""What the benchmarks of training share: a model, full rows of random tokens, a step.

Not a benchmark. No padding, no data pipeline: what is timed is the compiled step.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from t5x_like.data import layouts, sources, task, vocab
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.data.objectives.span_corruption import SpanCorruption
from t5x_like.engine import Engine
from t5x_like.run import Run


def engine(spec: object, *, rows: int, lengths: dict[str, int], **choices) -> Engine:
  """Of a run over `rows` rows of these model lengths; choices: fields of run.Run."""
  data = {"train": sources.Text("unused"), "vocabulary": vocab.Bytes()}
  if "encoder" in lengths:
    work = task.Task(name="none", objective=SpanCorruption(), **data)
    lengths = {"inputs": lengths["encoder"], "targets": lengths["decoder"]}
  else:
    layout = layouts.CausalDecoder()
    work = task.Task(name="none", objective=CausalLM(), layout=layout, **data)
    lengths = {"targets": lengths["decoder"]}
  return Engine(
    Run(
      model=spec,
      model_dir="unused",
      task=work,
      lengths=lengths,
      steps=1,
      batch=rows,
      **choices,
    )
  )


def batch(vocab: int, *, rows: int, lengths: dict[str, int]) -> dict[str, np.ndarray]:
  """One document a row, every position full; lengths as for `engine`."""
  random = np.random.default_rng(0)

  def tokens(length: int) -> np.ndarray:
    return random.integers(1, vocab, (rows, length), dtype=np.int32)

  made = {}
  for side, length in lengths.items():
    made |= {
      f"{side}_input_tokens": tokens(length),
      f"{side}_segment_ids": np.ones((rows, length), np.int32),
      f"{side}_positions": np.tile(np.arange(length, dtype=np.int32), (rows, 1)),
    }
  length = lengths["decoder"]
  return made | {
    "decoder_target_tokens": tokens(length),
    "decoder_loss_weights": np.ones((rows, length), np.float32),
  }


def stepper(engine: Engine, arrays: dict[str, np.ndarray]) -> Callable[[], None]:
  """Each call is one training step, awaited."""
  state = engine.initial_state()

  def step() -> None:
    nonlocal state
    state, metrics = engine.train_step(state, engine.put(arrays))
    jax.block_until_ready(metrics)

  return step
