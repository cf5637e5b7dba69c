"""Experts: equal feed-forward layers with weights of their own, and how tokens reach them.

You are in: models/components. `moe.py` puts a router in front. Two ways to compute the
same sum over chosen experts:

  dropless   tokens are sorted by expert and multiplied in groups (grouped.py; MegaBlocks, Gale et
             al. 2022, arXiv:2211.15841): every token reaches every expert it chose.
  slots      each expert takes at most C tokens of a row, by masks (GShard,
             arXiv:2006.16668, section 3.2): shapes are fixed, and experts spread over
             devices need one exchange of slots. Tokens beyond C are dropped.

Shapes: B batch, T tokens, D embed, F mlp, E experts, C slots of an expert in a row,
k experts of a token, M = B * T * k rows sorted by expert.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.by_row import Sampler, drawn
from models.components.context import Context
from models.components.ffn import FFN, GatedFFN, activation
from models.components.grouped import expert_of_rows, grouped_product
from models.components.param import Constant, Each, FanIn, declare
from models.components.recompute import named, recomputed
from models.components.routers import Choice


class ExpertDense(nnx.Module):
  """`Dense` with one kernel [embed or mlp, mlp or embed] an expert, and its bias."""

  def __init__(
    self, experts: int, inputs: tuple[str, int], outputs: tuple[str, int], *, bias: bool
  ):
    (name_in, width_in), (name_out, width_out) = inputs, outputs
    shape, axes = (experts, width_in, width_out), ("expert", name_in, name_out)
    self.kernel = declare(shape, axes, Each(init=FanIn()))
    zero = Constant(value=0.0)
    self.bias = declare(shape[::2], axes[::2], zero) if bias else None

  def sorted_rows(
    self, x_MD: jax.Array, sizes_E: jax.Array, *, batched: bool = False
  ) -> jax.Array:
    """Rows in order of their experts, `sizes_E` of them for each."""
    kernel = self.kernel[...].astype(x_MD.dtype)
    y_MF = grouped_product(x_MD, kernel, sizes_E, batched=batched)
    if self.bias is None:
      return y_MF
    expert_M = expert_of_rows(sizes_E, x_MD.shape[0])
    return y_MF + self.bias[...].astype(x_MD.dtype)[expert_M]

  def slots(self, x_EBCD: jax.Array) -> jax.Array:
    """Slots of every expert."""
    kernel = self.kernel[...].astype(x_EBCD.dtype)
    y_EBCF = jnp.einsum("ebcd,edf->ebcf", x_EBCD, kernel)
    if self.bias is None:
      return y_EBCF
    return y_EBCF + self.bias[...].astype(x_EBCD.dtype)[:, None, None]


class ExpertsLayer(nnx.Module):
  """`experts` layers of the spec's kind. Kernels: [gate,] up, down as in `ffn.py`."""

  def __init__(self, spec: FFN | GatedFFN, dim: int, experts: int):
    embed, mlp = ("embed", dim), ("mlp", spec.hidden)
    self.act = activation(spec.act, type(spec).__name__)
    self.experts = experts
    gated = isinstance(spec, GatedFFN)
    self.gate = ExpertDense(experts, embed, mlp, bias=spec.bias) if gated else None
    self.up = ExpertDense(experts, embed, mlp, bias=spec.bias)
    self.down = ExpertDense(experts, mlp, embed, bias=spec.bias)

  def dropless(self, x_BTD: jax.Array, choice: Choice, ctx: Context) -> jax.Array:
    """Every choice is computed; [B, T, D]."""
    B, T, D = x_BTD.shape
    k = choice.experts_BTk.shape[-1]
    expert_M = choice.experts_BTk.reshape(-1)
    order_M = jnp.argsort(expert_M)  # stable: equal experts keep the tokens' order
    sizes_E = jnp.bincount(expert_M, length=self.experts)
    x_MD = x_BTD.reshape(-1, D)[order_M // k]
    batched = ctx.rows_axis is not None

    def product(layer: ExpertDense, x: jax.Array) -> jax.Array:
      return layer.sorted_rows(x, sizes_E, batched=batched)

    def draw(sample: Sampler, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
      # In the tokens' order: which rows are sorted together changes no mask.
      of_rows = drawn(sample, key, (B, T * k, shape[-1]))
      return of_rows.reshape(shape)[order_M]

    y_MD = self._apply(product, x_MD, ctx, draw)
    # Back to the tokens' order by the inverse permutation: a gather, not a scatter.
    y_BTkD = y_MD[jnp.argsort(order_M)].reshape(B, T, k, D)
    weights = choice.weights_BTk.astype(y_BTkD.dtype)
    return jnp.sum(y_BTkD * weights[..., None], axis=2)

  def slots(self, x_BTD: jax.Array, combine_BTEC: jax.Array, ctx: Context) -> jax.Array:
    """What slot (e, c) of a row computes counts combine_BTEC for token t."""
    combine = combine_BTEC.astype(x_BTD.dtype)
    dispatch = (combine_BTEC > 0).astype(x_BTD.dtype)
    # Filled where the tokens are, then sent to the experts, and back in the same way:
    # without the first of the two placements XLA gathers all tokens at every expert.
    rows, slots = (None, "batch", None, "embed"), ("expert", "batch", None, "embed")
    x_EBCD = jnp.einsum("btec,btd->ebcd", dispatch, x_BTD)
    x_EBCD = ctx.constrain(ctx.constrain(x_EBCD, rows), slots)
    draw = functools.partial(drawn, axis=1)
    y_EBCD = self._apply(lambda layer, x: layer.slots(x), x_EBCD, ctx, draw)
    y_EBCD = ctx.constrain(ctx.constrain(y_EBCD, slots), rows)
    return jnp.einsum("btec,ebcd->btd", combine, y_EBCD)

  def _apply(
    self, product: Callable, x: jax.Array, ctx: Context, draw: Callable
  ) -> jax.Array:
    """The formula of FFN or GatedFFN, with `product(layer, x)` for its products."""

    @recomputed
    def rest(up, gate):
      hidden = self.act(up) if gate is None else self.act(gate) * up
      return product(self.down, ctx.drop(hidden, "ffn_hidden", draw=draw))

    gate = None if self.gate is None else named(product(self.gate, x), "gate")
    return named(rest(named(product(self.up, x), "up"), gate), "ffn_out")


def into_slots(
  choice: Choice, real_BT: jax.Array, experts: int, slots: int
) -> jax.Array:
  """Gives each expert the first tokens that chose it; combine_BTEC, 0 where nothing is.

  All first choices come before all second ones (arXiv:2006.16668, algorithm 1), each in
  the order of the row. Padding takes no slot.
  """
  asked = (choice.weights_BTk > 0) & real_BT[..., None]
  one_hot = jax.nn.one_hot(choice.experts_BTk, experts, dtype=jnp.int32)
  one_hot = one_hot * asked[..., None]
  B, T, k, E = one_hot.shape
  by_choice = jnp.swapaxes(one_hot, 1, 2).reshape(B, k * T, E)
  place = (jnp.cumsum(by_choice, axis=1) - by_choice).reshape(B, k, T, E)
  place_BTk = jnp.sum(jnp.swapaxes(place, 1, 2) * one_hot, axis=-1)
  weights = choice.weights_BTk[..., None] * one_hot
  # A place beyond the last slot has no one-hot column: that choice is dropped.
  return jnp.einsum("btke,btkc->btec", weights, jax.nn.one_hot(place_BTk, slots))


def slots_of(factor: float, choices: int, tokens: int, experts: int) -> int:
  """Slots of an expert in a row: `factor` times its share of the row's choices."""
  return min(tokens, math.ceil(factor * choices * tokens / experts))
