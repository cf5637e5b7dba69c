"""Shared stack: one block, run again and again (Universal Transformer, ALBERT).

You are in: models/components. Layers are as many as the blocks, parameters those of one
(Dehghani et al. 2018, arXiv:1807.03819; Lan et al. 2020, arXiv:1909.11942, 3.1).

Shapes: x_BTD -> (x_BTD, cache, aux).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.context import Context
from models.components.param import stacked
from models.components.recompute import rematerialized
from models.components.spec import spec
from models.components.stack import Stack, StackLayer


@spec
class SharedStack(Stack):
  """`Stack` of equal blocks that share every parameter."""

  def __post_init__(self):
    if len(set(self.blocks)) > 1:
      raise ValueError(
        "SharedStack.blocks must be equal, for they are one: "
        "layers * (block,). Use Stack for blocks that differ."
      )

  @property
  def times(self) -> int:
    """How often a token passes each parameter of the blocks."""
    return len(self.blocks)

  def build(self, dim: int) -> SharedStackLayer:
    return SharedStackLayer(self, dim)


class SharedStackLayer(StackLayer):
  """The one block lives in `blocks_0`, stacked like a run of one layer."""

  def __init__(self, spec: SharedStack, dim: int):
    super().__init__(spec, dim)
    self.layers = len(spec.blocks)
    self.blocks_0 = stacked(spec.blocks[0].build(dim), (0,))

  def _run(self, run, x_BTD, ctx: Context, cache: dict | None):
    """All layers; each has its own number, and so its own dropout, and its own cache."""
    graph, params = nnx.split(self.blocks_0)
    params = jax.tree.map(lambda leaf: leaf[0], params)

    def body(x_BTD, layer):
      number, layer_cache = layer
      block = nnx.merge(graph, params)
      x_BTD, new_cache, aux = block(x_BTD, ctx.layer(number), layer_cache)
      return x_BTD, (new_cache, aux)

    scanned = ctx.execution.scan and self.layers > 1
    body = rematerialized(body, ctx.execution, scanned=scanned)
    xs = (jnp.arange(self.layers), None if cache is None else cache["blocks_0"])
    if scanned:
      x_BTD, (new_cache, aux) = jax.lax.scan(body, x_BTD, xs)
    else:
      ys = []
      for i in range(self.layers):
        x_BTD, y = body(x_BTD, jax.tree.map(lambda leaf, i=i: leaf[i], xs))
        ys.append(y)
      new_cache, aux = jax.tree.map(lambda *leaves: jnp.stack(leaves), *ys)
    return x_BTD, {"blocks_0": new_cache}, {k: jnp.sum(v) for k, v in aux.items()}
