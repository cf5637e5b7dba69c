"""A run and a batch that several test files train on: T5 of one layer, full rows."""

import numpy as np

from models.families import t5
from t5x_like import optim
from t5x_like.data import sources, task, vocab
from t5x_like.data.objectives.span_corruption import SpanCorruption
from t5x_like.run import Run

MODEL = t5.t5_1_1(dim=32, hidden=64, heads=4, head_dim=8, layers=1, vocab=96)
LENGTHS = {"encoder": 24, "decoder": 16}
ROWS = 8


def run(**changes) -> Run:
  """A run of ten steps, with other fields as given."""
  options = dict(
    model=MODEL,
    model_dir="unused",
    task=task.Task(
      name="none",
      train=sources.Text("unused"),
      vocabulary=vocab.Bytes(),
      objective=SpanCorruption(),
    ),
    lengths={"inputs": LENGTHS["encoder"], "targets": LENGTHS["decoder"]},
    steps=10,
    batch=ROWS,
    optimizer=optim.AdamW(learning_rate=1e-2),
  )
  return Run(**(options | changes))


def batch(seed: int = 0) -> dict[str, np.ndarray]:
  """Random tokens without padding, one document a row."""
  random = np.random.default_rng(seed)
  made = {}
  for side, length in LENGTHS.items():
    tokens = random.integers(2, 96, (ROWS, length), dtype=np.int32)
    index = np.arange(length, dtype=np.int32)
    made[f"{side}_input_tokens"] = tokens
    made[f"{side}_segment_ids"] = np.ones((ROWS, length), np.int32)
    made[f"{side}_positions"] = np.tile(index, (ROWS, 1))
  made["decoder_target_tokens"] = made["decoder_input_tokens"]
  weights = np.ones((ROWS, LENGTHS["decoder"]), np.float32)
  return made | {"decoder_loss_weights": weights}
