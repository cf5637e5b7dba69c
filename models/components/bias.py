"""ALiBi: scores fall linearly with distance, by a fixed slope for every head.

You are in: models/components. Like `RelativeBias` it is a bias that the layers of a
stack share, without parameters.

Shapes: T queries, S keys, N heads.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.components.distance_bias import DistanceBias, distance_bias
from models.components.spec import spec


@spec
class ALiBi:
  """-slope * |query index - key index| (Press et al. 2022, arXiv:2108.12409, section 3).

  Slopes of N = 2^k heads are 2^(-max_bias i / N), i = 1..N. Other head counts take the
  slopes of the power of two below, then every other one of the next power's.
  """

  max_bias: float = 8.0

  def slopes(self, heads: int) -> np.ndarray:
    """float32 [heads]."""
    below = 2 ** math.floor(math.log2(heads))
    own = self._geometric(below)
    extra = self._geometric(2 * below)[0::2][: heads - below]
    return np.concatenate([own, extra]).astype(np.float32)

  def _geometric(self, heads: int) -> np.ndarray:
    return 2.0 ** (-self.max_bias * np.arange(1, heads + 1) / heads)

  def build(self, heads: int) -> ALiBiLayer:
    return ALiBiLayer(self, heads)


class ALiBiLayer(nnx.Module):
  """Score bias (or [B, N, T, S] decoding); nothing is learned."""

  def __init__(self, spec: ALiBi, heads: int):
    self.spec, self.heads = spec, heads

  def __call__(self, queries: int, keys: int) -> DistanceBias:
    """Bias of a whole sequence; row index decides, so packed rows need nothing else."""
    distance = jnp.arange(queries + keys - 1) - (queries - 1)
    return distance_bias(self._fall(distance[None]), queries, keys)

  def at(self, query_index_BT: jax.Array, keys: int) -> jax.Array:
    """Bias for queries at the given row indices, used while decoding."""
    distance_BTS = jnp.arange(keys) - query_index_BT[..., None]
    return jnp.moveaxis(self._fall(distance_BTS[..., None, :]), -2, 1)

  def _fall(self, distance: jax.Array) -> jax.Array:
    """[..., 1, W] -> [..., N, W]."""
    slopes = jnp.asarray(self.spec.slopes(self.heads))[:, None]
    return -slopes * jnp.abs(distance).astype(jnp.float32)
