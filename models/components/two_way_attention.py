"""Relative attention in both directions: for encoders, and for models that are both.

You are in: models/components. relative_attention.py knows distances back alone, which is
half of the work; here keys may lie ahead, and sinusoids are of signed distances, as in
XLNet (Yang et al. 2019, arXiv:1906.08237) and ERNIE 3.0's universal module.

Shapes: B batch, T queries and keys, N heads, H head dim.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from models.components.attend import Attend
from models.components.attention import Attention
from models.components.mask import Full
from models.components.relative_attention import (
  RelativeAttention,
  RelativeAttentionLayer,
)
from models.components.spec import spec


@spec
class TwoWayAttention(RelativeAttention):
  """`RelativeAttention` under any mask, with the same parameters."""

  mask: object = Full()

  def call(self, *, dropout: float, aligned: bool, batch_shards: int) -> Attend:
    return Attention.call(
      self, dropout=dropout, aligned=aligned, batch_shards=batch_shards
    )

  def build(self, dim: int) -> TwoWayAttentionLayer:
    return TwoWayAttentionLayer(self, dim)


class TwoWayAttentionLayer(RelativeAttentionLayer):
  """The parameters of `RelativeAttentionLayer`; whole rows alone, there is no cache."""

  def _distances(
    self, q_BTNH: jax.Array, keys: int, index_BT: jax.Array | None
  ) -> jax.Array:
    """The second term [B, N, T, T], scaled; query i and key j are i - j apart."""
    if index_BT is not None:
      raise ValueError("TwoWayAttention sees what lies ahead and cannot generate.")
    distance = jnp.arange(keys - 1, -keys, -1)
    R_WD = self.sinusoids(distance[None])[0].astype(q_BTNH.dtype)
    r_WNH = self.relative(R_WD)
    q_BTNH = q_BTNH + self.distance_bias[...].astype(q_BTNH.dtype)
    scores_BNTW = jnp.einsum(
      "btnh,wnh->bntw", q_BTNH, r_WNH, preferred_element_type=jnp.float32
    )
    scale = self.spec.call(dropout=0.0, aligned=False, batch_shards=1).scale
    return scale * signed_shift(scores_BNTW)


def signed_shift(far_to_ahead: jax.Array) -> jax.Array:
  """[..., T, 2 T - 1] by distance T - 1, ..., 1 - T -> [..., T, T] by key.

  By reshaping alone, as `relative_shift`: row i moves T - 1 - i to the left.
  """
  *lead, queries, width = far_to_ahead.shape
  flat = far_to_ahead.reshape(*lead, queries * width)
  flat = flat[..., queries - 1 : queries - 1 + queries * (width - 1)]
  return flat.reshape(*lead, queries, width - 1)[..., :queries]
