"""Latent attention: keys and values of all heads from one small vector a token.

You are in: models/components. Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434,
section 2.1). The cache holds the compressed vector and one rotated key that all heads
share. Whole sequences expand it to heads; a single query does not: the products that
would expand keys and values are applied to the query and to the result instead
("absorbed"), so that decoding reads latent + rope_dim numbers a token and layer.

Shapes: B batch, T queries, S keys, D embed, N heads, R latent, H features of a head.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.attend import Attend, attend
from models.components.attention import self_sight, write
from models.components.context import Context
from models.components.dense import Dense
from models.components.mask import Causal, Sight
from models.components.norm import RMSNorm
from models.components.position import PairedRope, Rope
from models.components.spec import spec


@spec
class LatentAttention:
  """latent: width of the vector that keys and values come from; query_latent: of the
  one that queries come from, None for the residual stream itself.

  head_dim: features of a head compared by content, rope_dim: by position, besides;
  value_dim: of its values. scale: None for (head_dim + rope_dim)**-0.5.
  """

  heads: int
  head_dim: int
  rope_dim: int
  value_dim: int
  latent: int
  query_latent: int | None = None
  position: Rope = PairedRope()
  mask: object = Causal()
  norm: object = RMSNorm()
  scale: float | None = None

  @property
  def kv_heads(self) -> int:
    """Heads of the expanded keys and values."""
    return self.heads

  @property
  def key_width(self) -> int:
    """Features of a query and a key that are compared."""
    return self.head_dim + self.rope_dim

  @property
  def score_width(self) -> int:
    """As `Attention.score_width`."""
    return self.key_width

  @property
  def value_width(self) -> int:
    """Features of a value."""
    return self.value_dim

  @property
  def row_bias(self) -> bool:
    """Whether scores get a bias that differs from row to row."""
    return False

  def call(self, *, dropout: float, aligned: bool, batch_shards: int) -> Attend:
    """What a kernel has to compute on expanded keys and values, without its arrays."""
    return Attend(
      mask=self.mask,
      scale=self.key_width**-0.5 if self.scale is None else self.scale,
      dropout=dropout,
      aligned=aligned,
      batch_shards=batch_shards,
      value_dim=self.value_width,
    )

  def build(self, dim: int) -> LatentAttentionLayer:
    return LatentAttentionLayer(self, dim)


class LatentAttentionLayer(nnx.Module):
  """x_BTD -> y_BTD. Kernels: latent, key_rope (from embed); key, value (latent, heads,
  kv); [query_latent;] query; out (heads, kv, embed)."""

  def __init__(self, spec: LatentAttention, dim: int):
    self.spec = spec
    embed, latent = {"embed": dim}, {"latent": spec.latent}
    heads = {"heads": spec.heads}
    rank = spec.query_latent
    asks = embed if rank is None else {"latent": rank}
    self.query_latent = None if rank is None else Dense(embed, asks, name="latent")
    self.query_norm = None if rank is None else spec.norm.build(rank)
    self.query = Dense(asks, heads | {"kv": spec.key_width}, name="query")
    self.latent = Dense(embed, latent, name="latent")
    self.latent_norm = spec.norm.build(spec.latent)
    self.key_rope = Dense(embed, {"kv": spec.rope_dim}, name="latent")
    self.key = Dense(latent, heads | {"kv": spec.head_dim}, name="key")
    self.value = Dense(latent, heads | {"kv": spec.value_dim}, name="value")
    self.out = Dense(heads | {"kv": spec.value_dim}, embed, name="attention_out")

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None]:
    """Self-attention. With a cache {"latent"} [B, S, 1, R + H], decoding continues."""
    content_BTNH, rope_BTNH = self._queries(x_BTD, ctx)
    kept_BSR = self._compressed(x_BTD, ctx)
    if cache is not None:
      kept_BSR = write(cache["latent"], kept_BSR, ctx)
      cache = {"latent": kept_BSR}
    sight = self_sight(ctx, kept_BSR.shape[1])
    how = self._absorbed if cache and x_BTD.shape[1] == 1 else self._expanded
    y_BTNH = how(content_BTNH, rope_BTNH, kept_BSR, sight, ctx)
    return self.out(y_BTNH), cache

  def empty_cache(self, batch: int, length: int, dtype: object) -> dict:
    """Shapes of the cache, for `length` generated tokens."""
    width = self.spec.latent + self.spec.rope_dim
    return {"latent": jax.ShapeDtypeStruct((batch, length, 1, width), dtype)}

  def _queries(self, x_BTD: jax.Array, ctx: Context) -> tuple[jax.Array, jax.Array]:
    """Parts compared by content and by position (eq. 37-40)."""
    if self.query_latent is not None:
      x_BTD = self.query_norm(self.query_latent(x_BTD))
    q_BTNH = self.query(x_BTD)
    content, rope = jnp.split(q_BTNH, [self.spec.head_dim], axis=-1)
    return content, self.spec.position(rope, ctx.positions_BT)

  def _compressed(self, x_BTD: jax.Array, ctx: Context) -> jax.Array:
    """What is cached (eq. 41 and 43): [B, T, 1, R + H]."""
    latent = self.latent_norm(self.latent(x_BTD))[:, :, None]
    rope = self.key_rope(x_BTD)[:, :, None]
    rope = self.spec.position.keys(rope, ctx.positions_BT)
    return jnp.concatenate([latent, rope], axis=-1)

  def _expanded(self, content, rope, kept, sight: Sight, ctx: Context) -> jax.Array:
    """Keys and values of every head (eq. 42, 44-46)."""
    latent, key_rope = jnp.split(kept[:, :, 0], [self.spec.latent], axis=-1)
    key = self.key(latent)
    shared = jnp.broadcast_to(
      key_rope[:, :, None], (*key.shape[:3], self.spec.rope_dim)
    )
    q = jnp.concatenate([content, rope], axis=-1)
    k = jnp.concatenate([key, shared], axis=-1)
    return self._attend(q, k, self.value(latent), sight, ctx)

  def _absorbed(self, content, rope, kept, sight: Sight, ctx: Context) -> jax.Array:
    """The same with one key and value of R + H numbers (section 2.1.2).

    q . (W c) = (W^T q) . c, and a sum of W c is W times a sum of c.
    """
    key, value = (w.kernel[...].astype(content.dtype) for w in (self.key, self.value))
    asks = jnp.einsum("btnh,rnh->btnr", content, key)
    q = jnp.concatenate([asks, rope], axis=-1)
    mixed = self._attend(q, kept, kept[..., : self.spec.latent], sight, ctx)
    return jnp.einsum("btnr,rnh->btnh", mixed, value)

  def _attend(self, q, k, v, sight: Sight, ctx: Context) -> jax.Array:
    q = ctx.constrain(q, ("batch", "length", "heads", "kv"))
    random = ctx.key_for("attention_weights")
    call = self.spec.call(
      dropout=0.0 if random is None else ctx.dropout,
      aligned=ctx.index_B is None,
      batch_shards=ctx.batch_shards,
    )
    call = dataclasses.replace(
      call, value_dim=v.shape[-1], ring=ctx.ring, split=ctx.split
    )
    kernel = ctx.execution.attention
    return attend(call, q, k, v, sight=sight, bias=ctx.bias, key=random, kernel=kernel)
