"""Optimizer state in the host's memory: the same numbers, kept elsewhere."""

import functools

import jax
import numpy as np
import pytest

from models.components.execution import Execution
from models.families import llama
from t5x_like import inspect, optim
from t5x_like.checkpoint import Checkpointer
from t5x_like.engine import Engine, abstract_batch
from t5x_like.planner.verb import accelerated
from t5x_like.run import Run

NAMES = ("input_tokens", "target_tokens", "loss_weights", "segment_ids", "positions")
AWAY = Execution(offload=("optimizer",))


class Rows:
  """Stands for a task: the shapes of a batch."""

  def shapes(self, lengths: dict, batch: int) -> dict:
    return {f"decoder_{name}": (batch, lengths["targets"]) for name in NAMES}


def engine(execution: Execution) -> Engine:
  model = llama.llama(dim=16, hidden=32, heads=2, head_dim=8, layers=1, vocab=64)
  return Engine(
    Run(
      model=model,
      model_dir="unused",
      task=Rows(),
      lengths={"targets": 8},
      steps=4,
      batch=2,
      optimizer=optim.AdamW(learning_rate=1e-2),
      execution=execution,
    )
  )


def batch() -> dict[str, np.ndarray]:
  shape = (2, 8)
  tokens = np.random.default_rng(0).integers(1, 64, shape).astype(np.int32)
  places = np.tile(np.arange(8, dtype=np.int32), (2, 1))
  ones = np.ones(shape, np.int32)
  arrays = (tokens, tokens, np.ones(shape, np.float32), ones, places)
  return {f"decoder_{name}": x for name, x in zip(NAMES, arrays, strict=True)}


@functools.cache
def trained(execution: Execution):
  """The engine, the state after three steps, and their losses."""
  made = engine(execution)
  state, losses = made.initial_state(), []
  for _ in range(3):
    state, metrics = made.train_step(state, made.put(batch()))
    losses.append(float(metrics["loss"]))
  return made, state, losses


def kinds(tree) -> set[str]:
  return {leaf.sharding.memory_kind for leaf in jax.tree.leaves(tree) if leaf.ndim}


def test_training_is_the_same_and_the_moments_stay_on_the_host():
  _, near, plain = trained(Execution())
  _, away, losses = trained(AWAY)
  assert losses == plain
  assert kinds(near.opt_state) == kinds(away.params) == {"device"}
  assert kinds(away.opt_state) == {"pinned_host"}


def test_a_checkpoint_returns_to_the_host(tmp_path):
  made, state, _ = trained(AWAY)
  with Checkpointer(tmp_path, asynchronous=False) as files:
    files.save(3, state, data={}, meta={})
    found, *_ = files.restore(made.abstract_state())
  assert kinds(found.opt_state) == {"pinned_host"}
  for one, two in zip(jax.tree.leaves(state), jax.tree.leaves(found), strict=True):
    np.testing.assert_array_equal(one, two)


def test_the_program_of_a_gpu_fetches_the_moments_and_sends_them_back():
  made = engine(AWAY)
  shapes = {name: array.shape for name, array in batch().items()}
  traced = jax.jit(made._train_step, out_shardings=(made.shardings, None)).trace(
    made.abstract_state(), abstract_batch(shapes)
  )
  text = traced.lower(lowering_platforms=("cuda",)).as_text()
  moments = 2 * len(made.declared)
  assert text.count('_xla_buffer_placement = "pinned_host"') == moments
  assert text.count('_xla_buffer_placement = "device"') >= moments


def test_what_lies_on_the_host_is_not_counted_on_the_device():
  near, away = (
    inspect.memory(engine(e), Rows().shapes({"targets": 8}, 2))
    for e in (Execution(), AWAY)
  )
  assert near["optimizer state"] - away["optimizer state"] == 2 * near["parameters"]


def test_a_plan_refuses_what_it_cannot_see():
  with pytest.raises(ValueError, match=r"offload=\('optimizer',\) cannot be planned"):
    accelerated(engine(AWAY).run)
