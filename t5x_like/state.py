"""TrainState: everything a step changes, and all that a checkpoint holds of a model.

You are in: t5x_like. Plain pytrees only (design: NNX defines, pytrees train), so that
one donated `jax.jit` carries it with about a millisecond of host time.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax

from models.components import param
from t5x_like.loss_scale import Dynamic
from t5x_like.rounding import Stochastic


@dataclasses.dataclass(frozen=True)
class TrainState:
  """step: int32 scalar, finished steps. params: nested dict of float32 arrays, or of
  bfloat16 ones in a run that rounds them.

  opt_state: optax's. extra: {"ema": params} when the run averages its parameters, and
  {"loss_scale": `loss_scale.Scale`} when it scales its loss.
  """

  step: jax.Array
  params: dict
  opt_state: object
  extra: dict


jax.tree_util.register_dataclass(
  TrainState, data_fields=["step", "params", "opt_state", "extra"], meta_fields=[]
)


def initial(
  declared: dict[str, param.Declared],
  transform: optax.GradientTransformation,
  *,
  seed: int,
  ema: bool,
  loss_scale: Dynamic | None = None,
  rounding: Stochastic | None = None,
) -> TrainState:
  """The state before the first step. Trace it: `jax.jit(..., out_shardings=...)`."""
  params = param.draw(declared, seed=seed)
  # A copy: the two trees must not share buffers, or neither could be donated.
  extra = {"ema": jax.tree.map(jnp.copy, params)} if ema else {}
  if loss_scale is not None:
    extra["loss_scale"] = loss_scale.start()
  opt_state = transform.init(params)
  stored = params if rounding is None else rounding.nearest(params)
  return TrainState(jnp.zeros((), jnp.int32), stored, opt_state, extra)
