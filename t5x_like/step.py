"""The step: batch -> model -> loss -> optimizer, as pure functions to be jitted.

You are in: t5x_like. `train.py` compiles `train_step` once, with the state donated.
Everything a step needs besides state and batch is in a `Plan`, fixed while tracing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from models.components import param
from models.components.alternating import Factors
from models.components.attend_ring import Ring
from models.components.attend_splash import Split
from models.components.context import unconstrained
from models.components.embed import HeadWeights
from models.components.execution import Execution
from models.components.model import Pass
from models.components.pipeline import Stages
from t5x_like import freeze, noise, optim
from t5x_like.freeze import Freeze
from t5x_like.loss_scale import Dynamic
from t5x_like.losses import CrossEntropy
from t5x_like.rounding import Stochastic, widened
from t5x_like.state import TrainState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What is fixed for all steps of a run.

  module: the model with declared parameters. transform: optax, without clipping.
  clip: limit on the global gradient norm. microbatches: slices of the batch whose
  gradients are summed before one update. ema: decay of the averaged parameters. frozen:
  parameters that stay as they are. loss_scale: the rule by which the loss is scaled.
  rounding: how parameters become what is stored of them; None stores float32.
  noise_scale: whether squared norms of gradients are measured for noise.py.
  pin: places a tree of gradients on the mesh.
  constrain, batch_shards, ring, split, stages: see `models.components.model.Pass`.
  """

  module: nnx.Module
  loss: CrossEntropy = CrossEntropy()
  transform: optax.GradientTransformation | None = None
  clip: float | None = None
  microbatches: int = 1
  ema: float | None = None
  frozen: tuple[Freeze, ...] = ()
  loss_scale: Dynamic | None = None
  rounding: Stochastic | None = None
  noise_scale: bool = False
  seed: int = 0
  execution: Execution = Execution()
  constrain: Callable = unconstrained
  pin: Callable = lambda tree: tree
  batch_shards: int = 1
  ring: Ring | None = None
  split: Split | None = None
  stages: Stages | None = None

  @property
  def alternates(self) -> bool:
    """Whether the backward pass of some rows begins before the forward pass of all ends."""
    return self.stages is not None and self.execution.pipeline_schedule == "1f1b"


def objective(
  plan: Plan,
  params: dict,
  batch: Batch,
  key: jax.Array | None,
  scale: jax.Array | None = None,
) -> tuple[jax.Array, Metrics]:
  """The summed loss of a batch to minimize, and sums for metrics (see losses.py).

  scale: what the caller will multiply the loss by, for gradients that are computed here.
  """
  module = param.bind(plan.module, params)
  run = Pass(
    execution=plan.execution,
    key=key,
    constrain=plan.constrain,
    batch_shards=plan.batch_shards,
    ring=plan.ring,
    split=plan.split,
    stages=plan.stages,
  )
  if plan.alternates:
    return _alternating(plan, module, batch, run, scale)
  hidden_BTD, aux = module(batch, run)
  parts = 1 if plan.ring is None else plan.ring.devices
  scored = (hidden_BTD, *_answers(module, batch))
  total, sums = _loss(
    plan,
    module.head_weights(),
    *(_parts_as_rows(x, parts) for x in scored),
    batch_shards=plan.batch_shards * parts,
  )
  if aux:
    # Where rows have labels and no targets, the labels count all the same.
    sums = sums | {"weight": jnp.maximum(sums["weight"], 1.0)}
  for name, value in aux.items():
    # Auxiliary losses are means over tokens; weighting them like tokens keeps sums.
    total = total + value * sums["weight"]
    sums = sums | {name: value * sums["weight"]}
  return total, sums


def _alternating(plan: Plan, module, batch: Batch, run: Pass, scale) -> tuple:
  """The same, computed together with its gradient (models/components/alternating.py)."""
  head, (_, weights_BT) = module.head_weights(), _answers(module, batch)
  parts = math.gcd(plan.stages.count, weights_BT.shape[1])

  def score(hidden_BTD, batch, part):
    def of_part(x_BT):
      size = x_BT.shape[1] // parts
      return jax.lax.dynamic_slice_in_dim(x_BT, part * size, size, axis=1)

    hidden, targets, weights = map(of_part, (hidden_BTD, *_answers(module, batch)))
    # Stages beyond the last part have nothing to sum.
    return _loss(plan, head, hidden, targets, jnp.where(part < parts, weights, 0))

  weight = jnp.maximum(jnp.sum(weights_BT.astype(jnp.float32)), 1.0)
  factors = Factors(weight, jnp.float32(1.0) if scale is None else scale)
  total, sums, aux = module.scored(batch, run, score, factors)
  if aux:
    sums = sums | {"weight": weight}
  return total, sums | {name: value * weight for name, value in aux.items()}


def _answers(module: nnx.Module, batch: Batch) -> tuple[jax.Array, jax.Array]:
  """Targets and their weights, [B, T]."""
  names = ("target_tokens", "loss_weights")
  return tuple(batch[f"{module.answers}_{name}"] for name in names)


def _loss(plan: Plan, head: HeadWeights, hidden, targets, weights, **options) -> tuple:
  return plan.loss(
    hidden,
    head.kernel,
    targets,
    weights,
    embed_axis=head.embed_axis,
    scale=head.scale,
    bias=head.bias,
    **options,
  )


def _parts_as_rows(x_BT: jax.Array, parts: int) -> jax.Array:
  """Rows of T / parts tokens: the loss goes through a row chunk by chunk, so the parts
  that different devices hold must be rows of their own."""
  if parts == 1:
    return x_BT
  x = x_BT.reshape(x_BT.shape[0], parts, -1, *x_BT.shape[2:])
  # Parts before rows: then what one device holds stays one piece.
  return jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])


def gradients(
  plan: Plan,
  params: dict,
  batch: Batch,
  key: jax.Array | None,
  scale: jax.Array | None = None,
) -> tuple[dict, Metrics]:
  """Summed gradients over the batch, in `microbatches` slices one after another.

  scale: what the loss is multiplied by and the sums are divided by again. With
  `plan.noise_scale`, "squares" of the second result holds, for every parameter, the
  squares of the slices' gradients, summed.
  """

  def scaled(params, batch, key):
    total, sums = objective(plan, params, batch, key, scale)
    return total if scale is None else total * scale, sums

  def grad(params, batch, key):
    found, sums = jax.grad(scaled, has_aux=True)(params, batch, key)
    found = plan.pin(found)
    if plan.noise_scale:
      divided = found if scale is None else jax.tree.map(lambda g: g / scale, found)
      squares = jax.tree.map(lambda g: jnp.sum(jnp.square(g)), divided)
      sums = sums | {"squares": squares}
    return found, sums

  if plan.microbatches == 1:
    found, sums = grad(params, batch, key)
  else:
    found, sums = _accumulated(plan.microbatches, plan.pin, grad, params, batch, key)
  if scale is not None:
    found = jax.tree.map(lambda g: g / scale, found)
  return found, sums


def _accumulated(
  count: int, pin: Callable, grad: Callable, params, batch, key
) -> tuple:
  """What `grad` returns, summed over `count` slices of the batch."""

  def slices(x: jax.Array) -> jax.Array:
    # Slice i takes rows i, i + count, ...: an equal share of every device's rows.
    return jnp.swapaxes(x.reshape(x.shape[0] // count, count, *x.shape[1:]), 0, 1)

  def add(total, piece):
    number, micro = piece
    micro_key = None if key is None else jax.random.fold_in(key, number)
    new = grad(params, micro, micro_key)
    sums = jax.tree.map(jnp.add, total, new)
    return (pin(sums[0]), sums[1]), None

  pieces = (jnp.arange(count), jax.tree.map(slices, batch))
  first = jax.eval_shape(grad, params, jax.tree.map(lambda x: x[0], pieces[1]), key)
  zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), first)
  return jax.lax.scan(add, zero, pieces)[0]


def train_step(
  plan: Plan, state: TrainState, batch: Batch
) -> tuple[TrainState, Metrics]:
  """One update. Metrics are scalars: loss in nats per weighted token, and so on.

  A step whose loss or gradient is not finite changes nothing but the step counter and
  the loss scale, and reports `skipped` = 1: NaN must never reach parameters or a
  checkpoint.
  """
  key = jax.random.fold_in(jax.random.key(plan.seed), state.step)
  scaling = state.extra.get("loss_scale")
  scale = None if scaling is None else scaling.scale
  params = widened(state.params)
  grads, sums = gradients(plan, params, batch, key, scale)
  squares = sums.pop("squares", None)
  weight = jnp.maximum(sums["weight"], 1.0)
  grads = jax.tree.map(lambda g: g / weight, grads)
  grads = freeze.still(plan.frozen, grads, state.step)
  norm = optax.global_norm(grads)
  finite = jnp.isfinite(norm) & jnp.isfinite(sums["loss"])
  grads = optim.clip_by_global_norm(grads, norm, plan.clip)
  updates, opt_state = plan.transform.update(grads, state.opt_state, params)
  updates = freeze.still(plan.frozen, updates, state.step)
  params = optax.apply_updates(params, updates)
  averaged = _averaged(plan, state.extra, params)
  if plan.rounding is not None:
    params = plan.rounding(params, seed=plan.seed, step=state.step)
  new = (params, opt_state, averaged)
  old = (state.params, state.opt_state, state.extra)
  # Selected, never multiplied: 0 * NaN is NaN.
  params, opt_state, extra = jax.tree.map(
    lambda n, o: jnp.where(finite, n, o), new, old
  )
  metrics = per_token(sums) | {
    "gradient_norm": norm,
    "skipped": 1.0 - finite.astype(jnp.float32),
  }
  if plan.loss_scale is not None:
    # Not selected: an overflow is what it learns from.
    extra = extra | {"loss_scale": plan.loss_scale.update(scaling, finite)}
    metrics["loss_scale"] = scale
  if plan.noise_scale:
    squares = freeze.still(plan.frozen, squares, state.step)
    # A slice's gradient is per token of an average slice, so that the mean over slices
    # is the gradient of the batch.
    share = plan.microbatches / weight**2
    metrics[noise.SMALL] = share * sum(jax.tree.leaves(squares))
    metrics[noise.LARGE] = norm**2
  return TrainState(state.step + 1, params, opt_state, extra), metrics


def eval_step(plan: Plan, params: dict, batch: Batch) -> Metrics:
  """Sums over a batch, without dropout: add them up, then `per_token`."""
  if plan.alternates:
    # Nothing goes backward.
    execution = dataclasses.replace(plan.execution, pipeline_schedule="gpipe")
    plan = dataclasses.replace(plan, execution=execution)
  return objective(plan, widened(params), batch, None)[1]


def per_token(sums: Metrics) -> Metrics:
  """loss, z_loss (nats) and accuracy per weighted token, and the weight itself."""
  weight = jnp.maximum(sums["weight"], 1.0)
  metrics = {k: v / weight for k, v in sums.items() if k not in ("weight", "correct")}
  return metrics | {
    "accuracy": sums["correct"] / weight,
    "target_tokens": sums["weight"],
  }


def parameter_norm(params: dict) -> jax.Array:
  """Global L2 norm of all parameters."""
  return optax.global_norm(widened(params))


def _averaged(plan: Plan, extra: dict, params: dict) -> dict:
  """Exponential moving average (Polyak and Juditsky 1992), when the run keeps one."""
  if plan.ema is None:
    return extra
  step = optax.incremental_update(params, extra["ema"], 1.0 - plan.ema)
  return extra | {"ema": step}
