"""Attention: projections around `attend`, with an explicit cache for decoding.

You are in: models/components. The spec says heads, position, mask and biases; how
scores are computed is `attend.py`'s business.

Shapes: B batch, T queries, S keys, D embed, N heads, K kv heads, H head dim.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.attend import Attend, attend
from models.components.context import Context
from models.components.dense import Dense
from models.components.mask import Causal, Full, Sight
from models.components.param import FanIn, relabeled
from models.components.position import Rotary
from models.components.spec import spec

PROJECTIONS = ("query", "key", "value", "out")


@spec
class Attention:
  """Multi-head, grouped-query (arXiv:2305.13245) or multi-query attention.

  heads, head_dim: query heads and the width of each. kv_heads: heads of keys and
  values, None for one per query head. position: None, a `Rotary`, or a score bias
  (`RelativeBias`, `ALiBi`) that belongs to this layer alone. scale: factor on scores,
  None for head_dim**-0.5 (T5 uses 1.0 and a smaller query initializer instead). bias: on
  all four projections, or the names of those that have one: ("query", "key", "value").
  qk_norm: a norm over the features of every query and key head (Dehghani et al. 2023,
  arXiv:2302.05442, section 2). softcap: bound on scores (Gemma 2, arXiv:2408.00118, 2).
  """

  heads: int
  head_dim: int
  kv_heads: int | None = None
  position: object = None
  mask: object = Causal()
  scale: float | None = None
  bias: bool | tuple[str, ...] = False
  qk_norm: object = None
  softcap: float | None = None

  def __post_init__(self):
    if not set(() if isinstance(self.bias, bool) else self.bias) <= set(PROJECTIONS):
      raise ValueError(
        f"Attention.bias={self.bias!r} must be True, False or names out of "
        f"{', '.join(PROJECTIONS)}."
      )
    if self.heads % (self.kv_heads or self.heads):
      raise ValueError(
        f"Attention.heads={self.heads} is not a multiple of kv_heads={self.kv_heads}."
      )

  def has_bias(self, projection: str) -> bool:
    """Whether "query", "key", "value" or "out" adds a bias."""
    return self.bias if isinstance(self.bias, bool) else projection in self.bias

  @property
  def key_width(self) -> int:
    """Features of a query and a key that are compared."""
    return self.head_dim

  @property
  def score_width(self) -> int:
    """Features that are multiplied for one score."""
    return self.key_width

  @property
  def value_width(self) -> int:
    """Features of a value."""
    return self.head_dim

  @property
  def row_bias(self) -> bool:
    """Whether scores get a bias that differs from row to row."""
    return False

  def call(self, *, dropout: float, aligned: bool, batch_shards: int) -> Attend:
    """What a kernel has to compute, without its arrays."""
    own = None if self.value_width == self.key_width else self.value_width
    return Attend(
      mask=self.mask,
      scale=self.head_dim**-0.5 if self.scale is None else self.scale,
      dropout=dropout,
      aligned=aligned,
      batch_shards=batch_shards,
      value_dim=own,
      softcap=self.softcap,
    )

  def build(self, dim: int) -> AttentionLayer:
    return AttentionLayer(self, dim)


class AttentionLayer(nnx.Module):
  """x_BTD -> y_BTD. Kernels: query, key, value (embed, heads, kv); out (heads, kv, embed)."""

  def __init__(self, spec: Attention, dim: int):
    kv_heads = spec.kv_heads or spec.heads
    embed = {"embed": dim}
    queries = {"heads": spec.heads, "kv": spec.head_dim}
    keys = {"kv_heads": kv_heads, "kv": spec.head_dim}
    self.spec = spec
    # T5 leaves scores unscaled and divides the initial query kernel by sqrt(head_dim)
    # instead, so that scores start with unit variance either way.
    start = FanIn(scale=1 / spec.head_dim) if spec.scale == 1.0 else FanIn()
    self.query = Dense(
      embed, queries, bias=spec.has_bias("query"), init=start, name="query"
    )
    self.key = Dense(embed, keys, bias=spec.has_bias("key"), name="key")
    self.value = Dense(embed, keys, bias=spec.has_bias("value"), name="value")
    self.out = Dense(queries, embed, bias=spec.has_bias("out"), name="attention_out")
    self.query_norm = self._norm(spec)
    self.key_norm = self._norm(spec)
    self.rotary = spec.position if isinstance(spec.position, Rotary) else None
    own_bias = spec.position is not None and self.rotary is None
    self.relative_bias = spec.position.build(spec.heads) if own_bias else None

  @staticmethod
  def _norm(spec: Attention) -> nnx.Module | None:
    if spec.qk_norm is None:
      return None
    return relabeled(spec.qk_norm.build(spec.head_dim), {"embed": "kv"})

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None]:
    """Self-attention. With a cache {"key", "value"} [B, S, K, H], decoding continues."""
    q, k, v = self.query(self.asks(x_BTD, ctx)), self.key(x_BTD), self.value(x_BTD)
    if self.query_norm is not None:
      q, k = self.query_norm(q), self.key_norm(k)
    if self.rotary is not None:
      q = self.rotary(q, ctx.positions_BT)
      k = self.rotary.keys(k, ctx.positions_BT)
    if cache is not None:
      k, v = write(cache["key"], k, ctx), write(cache["value"], v, ctx)
      cache = {"key": k, "value": v}
    sight = self_sight(ctx, k.shape[1])
    bias = self._bias(ctx, sight, k.shape[1])
    y = self._attend(q, k, v, ctx, sight, bias, aligned=cache is None)
    return self.out(y), cache

  def asks(self, x_BTD: jax.Array, ctx: Context) -> jax.Array:
    """What queries are computed from: the same as keys and values."""
    return x_BTD

  def empty_cache(self, batch: int, length: int, dtype: object) -> dict:
    """Shapes of the cache, for `length` generated tokens."""
    spec = self.spec
    shape = (batch, length, spec.kv_heads or spec.heads, spec.head_dim)
    return {name: jax.ShapeDtypeStruct(shape, dtype) for name in ("key", "value")}

  def _bias(self, ctx: Context, sight: Sight, keys: int) -> jax.Array | None:
    if self.relative_bias is None:
      return ctx.bias
    if ctx.index_B is not None:
      return self.relative_bias.at(sight.query_BT, keys)
    return self.relative_bias(keys, keys)

  def _attend(self, q, k, v, ctx, sight, bias, aligned):
    q = ctx.constrain(q, ("batch", "length", "heads", "kv"))
    key = ctx.key_for("attention_weights")
    call = self.spec.call(
      dropout=0.0 if key is None else ctx.dropout,
      aligned=aligned,
      batch_shards=ctx.batch_shards,
    )
    call = dataclasses.replace(call, ring=ctx.ring, split=ctx.split)
    kernel = ctx.execution.attention
    return attend(call, q, k, v, sight=sight, bias=bias, key=key, kernel=kernel)


class CrossAttentionLayer(AttentionLayer):
  """Queries from the decoder, keys and values from the encoder's output."""

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None]:
    """While decoding, the cache holds the keys and values computed by `project`."""
    memory = ctx.memory
    kv = self.project(memory.output_BSD) if cache is None else cache
    q = self.query(x_BTD)
    keys = memory.segments_BS.shape[1]
    index = jnp.broadcast_to(jnp.arange(keys), memory.segments_BS.shape)
    sight = Sight(
      query_BT=jnp.zeros(x_BTD.shape[:2], jnp.int32),
      key_BS=index,
      query_segments_BT=ctx.segments_BT,
      key_segments_BS=memory.segments_BS,
    )
    y = self._attend(q, kv["key"], kv["value"], ctx, sight, None, aligned=False)
    return self.out(y), cache

  def project(self, memory_BSD: jax.Array) -> dict:
    """Keys and values of the encoder's output, once per generated sequence."""
    return {"key": self.key(memory_BSD), "value": self.value(memory_BSD)}


@spec
class CrossAttention(Attention):
  """Attention from the decoder into the encoder's output; never masked by order."""

  mask: object = Full()

  def build(self, dim: int) -> CrossAttentionLayer:
    return CrossAttentionLayer(self, dim)


def self_sight(ctx: Context, keys: int) -> Sight:
  """What self-attention's mask looks at, for whole sequences and for decoding."""
  batch, queries = ctx.segments_BT.shape
  key_index = jnp.broadcast_to(jnp.arange(keys), (batch, keys))
  if ctx.index_B is None:
    return Sight(
      query_BT=key_index,
      key_BS=key_index,
      query_segments_BT=ctx.segments_BT,
      key_segments_BS=ctx.segments_BT,
      query_prefix_BT=ctx.prefix_BT,
      key_prefix_BS=ctx.prefix_BT,
    )
  # A decoding row holds one document; what lies beyond the query is not yet written.
  query_index = ctx.index_B[:, None] + jnp.arange(queries)
  prefix = ctx.prefix_BT
  if prefix is not None:
    prefix = jnp.pad(prefix, ((0, 0), (0, keys - prefix.shape[1])))
  query_prefix = None
  if prefix is not None:
    query_prefix = jnp.take_along_axis(prefix, query_index, axis=1)
  return Sight(
    query_BT=query_index,
    key_BS=key_index,
    query_prefix_BT=query_prefix,
    key_prefix_BS=prefix,
  )


def write(cache_BSKH: jax.Array, new_BTKH: jax.Array, ctx: Context) -> jax.Array:
  """Writes this call's keys or values at each row's own index."""

  def row(cache, new, index):
    return jax.lax.dynamic_update_slice(cache, new, (index, 0, 0))

  return jax.vmap(row)(cache_BSKH, new_BTKH.astype(cache_BSKH.dtype), ctx.index_B)
