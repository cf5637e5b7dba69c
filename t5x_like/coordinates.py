"""Coordinates: how large activations are, and how much a few steps change them.

You are in: t5x_like, pure (JAX). Upstream: coordinate_check.py, with runs that differ in
width or depth alone. Under a parametrisation that transfers, what training changes is as
large in every model (Yang et al. 2022, arXiv:2203.03466, appendix D.1).

One device, one batch of random tokens again and again: sizes are what is looked at, and
no data has to be there.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from models.components import param
from models.components.model import Pass
from t5x_like import state as states
from t5x_like import step
from t5x_like.run import Run

PARTS = ("attention", "cross", "ffn")  # names of the places that Context.drop knows
STREAM = ("batch", "length", "embed")
FLAT = 0.25  # slopes up to this are those of models that small
VERDICTS = ("shrinks", "holds", "grows")


@dataclasses.dataclass(frozen=True)
class Coordinates:
  """Of each kind of layer: the mean of |x| before the first step and after each, and of
  |x - x before the first|, both [steps + 1]; a mean over elements and layers."""

  size: dict[str, np.ndarray]
  change: dict[str, np.ndarray]


def measure(run: Run, *, steps: int, rate: float | None = None) -> Coordinates:
  """Trains a run's model for `steps` steps and looks at its activations.

  rate: a constant learning rate; None for the highest that the run's schedule reaches,
  for a warm-up would hide what is asked for.
  """
  module = run.model.build()
  declared = param.declarations(module)
  optimizer = steady(run.optimizer, peak(run) if rate is None else rate)
  axes = {path: one.axes for path, one in declared.items()}
  plan = step.Plan(
    module=module,
    loss=run.loss,
    transform=optimizer.build(axes),
    clip=optimizer.clip,
    seed=run.seed,
    execution=run.execution,
  )
  batch = random_batch(run)

  def trained() -> tuple[dict, dict]:
    state = states.initial(declared, plan.transform, seed=run.seed, ema=False)
    shapes = jax.eval_shape(lambda: activations(plan, state.params, batch))
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def one(carry: tuple, number: jax.Array) -> tuple[tuple, tuple]:
      state, start = carry
      now = activations(plan, state.params, batch)
      # Taken in the loop, not before it: one program less to compile.
      start = jax.tree.map(lambda new, old: jnp.where(number, old, new), now, start)
      state, _ = step.train_step(plan, state, batch)
      return (state, start), compared(now, start)

    return jax.lax.scan(one, (state, blank), jnp.arange(steps + 1))[1]

  # Each program runs once: compiling it with all optimizations would take longer.
  quick = {"xla_backend_optimization_level": 0}
  options = quick if jax.default_backend() == "cpu" else None
  size, change = jax.device_get(jax.jit(trained, compiler_options=options)())
  return Coordinates(size, change)


def activations(plan: step.Plan, params: dict, batch: step.Batch) -> dict:
  """{kind: activations [layers, ...] or a list of them}, without dropout."""
  found: dict[str, list[jax.Array]] = {}

  def watch(x: jax.Array, name: str) -> None:
    if name == "embed":  # what was taken for the output of a block went into the first
      found["embed"] = [*found.get("embed", []), found["block"].pop()]
    elif name in PARTS:
      found.setdefault(name, []).append(x)

  def constrain(x: jax.Array, axes: tuple) -> jax.Array:
    if axes == STREAM:
      found.setdefault("block", []).append(x)
    return x

  execution = dataclasses.replace(plan.execution, scan=False, remat="none")
  module = param.bind(plan.module, params)
  run = Pass(execution=execution, constrain=constrain, watch=watch)
  hidden_BTD, _ = module(batch, run)
  return found | {"logits": [module.logits(hidden_BTD)]}


def compared(now: dict, start: dict) -> tuple[dict, dict]:
  """Means of |now| and of |now - start| for each kind."""

  def mean(arrays: list[jax.Array]) -> jax.Array:
    return sum(jnp.mean(jnp.abs(x.astype(jnp.float32))) for x in arrays) / len(arrays)

  size = {kind: mean(arrays) for kind, arrays in now.items()}
  difference = jax.tree.map(jnp.subtract, now, start)
  return size, {kind: mean(arrays) for kind, arrays in difference.items()}


def random_batch(run: Run) -> step.Batch:
  """A full batch of the run's shapes: one document a row, frequent ids first (Zipf)."""
  rng = np.random.default_rng(run.seed)
  batch = {}
  for name, shape in run.task.shapes(run.lengths, run.batch).items():
    if name.endswith("_tokens"):
      array = np.floor(run.model.vocab ** rng.random(shape)).astype(np.int32) % (
        run.model.vocab
      )
    elif name.endswith("_positions"):
      array = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape)
    elif name.endswith("_weights"):
      array = np.ones(shape, np.float32)
    else:
      array = np.full(shape, name.endswith("_segment_ids"), np.int32)
    batch[name] = jnp.asarray(array)
  return batch


def steady(optimizer: object, rate: float) -> object:
  """The optimizer at a constant rate; of groups, the one that they share."""
  if hasattr(optimizer, "groups"):
    return dataclasses.replace(optimizer, optimizer=steady(optimizer.optimizer, rate))
  return dataclasses.replace(optimizer, learning_rate=rate)


def peak(run: Run) -> float:
  """The highest learning rate among a hundred steps of the run."""
  looked = np.linspace(0, run.steps, 101).astype(int)
  return max(float(run.optimizer.learning_rate(number)) for number in looked)


def slope(sizes: list[int], values: list[float]) -> float:
  """Exponent p of value = c * size^p, by least squares of logarithms; NaN when a value
  is not positive."""
  if min(values) <= 0 or not all(map(math.isfinite, values)):
    return math.nan
  return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def verdict(exponent: float) -> str:
  """What a slope means: "holds" up to FLAT either way; "diverges" for NaN."""
  if math.isnan(exponent):
    return "diverges"
  return VERDICTS[(exponent > FLAT) - (exponent < -FLAT) + 1]
