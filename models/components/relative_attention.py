"""Relative attention: scores from contents and from distances, each with its projection.

You are in: models/components. Dai et al. 2019, arXiv:1901.02860 (Transformer-XL),
section 3.3; Gopher and Chinchilla use it without a memory of earlier segments. The
positional score depends on the query, so it is a bias of its own in every row.

Shapes: B batch, T queries, S keys, D embed, N heads, H head dim.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from models.components.attend import Attend
from models.components.attention import Attention, AttentionLayer, self_sight, write
from models.components.context import Context
from models.components.dense import Dense
from models.components.mask import Causal
from models.components.param import Constant, declare
from models.components.position import Sinusoidal
from models.components.spec import spec


@spec
class RelativeAttention(Attention):
  """(q_i + u) . k_j + (q_i + v) . W_R R_(i - j), times `scale` (section 3.3, eq. of
  A^rel).

  R: sinusoids of the distance, as wide as the residual stream. W_R, u and v belong to
  the layer, u and v to each head. Distances are those of row indices. The mask has to
  be causal: no key lies ahead.
  """

  sinusoids: Sinusoidal = Sinusoidal()

  def __post_init__(self):
    super().__post_init__()
    for name in ("position", "qk_norm", "softcap"):
      if getattr(self, name) is not None:
        raise ValueError(
          f"RelativeAttention.{name} must be None: its scores are a sum of two products."
          " Use Attention for it."
        )

  @property
  def score_width(self) -> int:
    """Content and distance are compared, each over the width of a head."""
    return 2 * self.head_dim

  @property
  def row_bias(self) -> bool:
    return True

  def call(self, *, dropout: float, aligned: bool, batch_shards: int) -> Attend:
    """As `Attention.call`; ValueError for a mask that is not causal."""
    if not isinstance(self.mask, Causal):
      raise ValueError(
        f"RelativeAttention.mask={self.mask} is not causal; it has projections of "
        "distances back alone. Use mask.Causal or one of its variants."
      )
    return super().call(dropout=dropout, aligned=aligned, batch_shards=batch_shards)

  def build(self, dim: int) -> RelativeAttentionLayer:
    return RelativeAttentionLayer(self, dim)


class RelativeAttentionLayer(AttentionLayer):
  """Besides the projections: `relative` (embed, heads, kv), W_R; `content_bias`, u, and
  `distance_bias`, v, (heads, kv)."""

  def __init__(self, spec: RelativeAttention, dim: int):
    super().__init__(spec, dim)
    heads = {"heads": spec.heads, "kv": spec.head_dim}
    shape, axes = tuple(heads.values()), tuple(heads)
    self.sinusoids = spec.sinusoids.build(dim)
    self.relative = Dense({"embed": dim}, heads)
    self.content_bias = declare(shape, axes, Constant(value=0.0))
    self.distance_bias = declare(shape, axes, Constant(value=0.0))

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None]:
    """As in `AttentionLayer`; the cache is the same."""
    q, k, v = self.query(x_BTD), self.key(x_BTD), self.value(x_BTD)
    if cache is not None:
      k, v = write(cache["key"], k, ctx), write(cache["value"], v, ctx)
      cache = {"key": k, "value": v}
    sight = self_sight(ctx, k.shape[1])
    index_BT = None if ctx.index_B is None else sight.query_BT
    bias = self._distances(q, k.shape[1], index_BT)
    q = q + self.content_bias[...].astype(q.dtype)
    y = self._attend(q, k, v, ctx, sight, bias, aligned=cache is None)
    return self.out(y), cache

  def _distances(
    self, q_BTNH: jax.Array, keys: int, index_BT: jax.Array | None
  ) -> jax.Array:
    """The second term [B, N, T, S], scaled; what lies ahead of a query is not defined."""
    back_S = jnp.arange(keys - 1, -1, -1)
    R_SD = self.sinusoids(back_S[None])[0].astype(q_BTNH.dtype)
    r_SNH = self.relative(R_SD)
    q_BTNH = q_BTNH + self.distance_bias[...].astype(q_BTNH.dtype)
    scores_BNTS = jnp.einsum(
      "btnh,snh->bnts", q_BTNH, r_SNH, preferred_element_type=jnp.float32
    )
    scale = self.spec.call(dropout=0.0, aligned=False, batch_shards=1).scale
    if index_BT is None:
      return scale * relative_shift(scores_BNTS)
    # The rows of a batch that is decoded stand at different indices.
    distance = index_BT[:, None, :, None] - jnp.arange(keys)
    column = jnp.clip(keys - 1 - distance, 0, keys - 1)
    return scale * jnp.take_along_axis(scores_BNTS, column, axis=-1)


def relative_shift(far_to_near: jax.Array) -> jax.Array:
  """[..., T, S] by distance S - 1, ..., 0 -> by key, where queries are the last T of S.

  By reshaping alone (the paper's appendix B): row t moves T - 1 - t to the left. What
  then stands at keys ahead of a query is of other rows and has to be masked.
  """
  *lead, queries, keys = far_to_near.shape
  padded = jnp.pad(far_to_near, [*[(0, 0)] * (len(lead) + 1), (1, 0)])
  rows = padded.reshape(*lead, keys + 1, queries)[..., 1:, :]
  return rows.reshape(*lead, queries, keys)
