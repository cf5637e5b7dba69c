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
  """Score bias [1, N, T, S] (or [B, N, T, S] decoding); nothing is learned."""

  def __init__(self, spec: ALiBi, heads: int):
    self.spec, self.heads = spec, heads

  def __call__(self, queries: int, keys: int) -> jax.Array:
    """Bias of a whole sequence; row index decides, so packed rows need nothing else."""
    distance = jnp.arange(keys)[None, :] - jnp.arange(queries)[:, None]
    return self._bias(distance[None])

  def at(self, query_index_BT: jax.Array, keys: int) -> jax.Array:
    """Bias for queries at the given row indices, used while decoding."""
    return self._bias(jnp.arange(keys) - query_index_BT[..., None])

  def _bias(self, distance_BTS: jax.Array) -> jax.Array:
    slopes = jnp.asarray(self.spec.slopes(self.heads))[:, None, None]
    return -slopes * jnp.abs(distance_BTS)[:, None].astype(jnp.float32)
