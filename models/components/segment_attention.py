"""Segment attention: Transformer-XL's recurrence over the segments of a row.

You are in: models/components. Dai et al. 2019, arXiv:1901.02860, section 3.2: a segment
attends to itself and to a memory, the hidden states of the tokens before it, through
which no gradient flows. Here a row holds several segments in order and is computed at
once: nothing is carried from one batch to the next. While decoding the mask says the
same of the cache.

Shapes: B batch, T tokens = C segments x L, M memory, D embed, N heads, H head dim.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from models.components.attend import attend
from models.components.context import Context
from models.components.mask import Causal, SegmentMemory, Sight
from models.components.relative_attention import (
  RelativeAttention,
  RelativeAttentionLayer,
)
from models.components.spec import spec


@spec
class SegmentAttention(RelativeAttention):
  """Relative attention over segments; their lengths are those of the mask.

  Segments are cut by row index: rows are whole segments, or shorter than one.
  """

  mask: SegmentMemory

  def build(self, dim: int) -> SegmentAttentionLayer:
    return SegmentAttentionLayer(self, dim)


class SegmentAttentionLayer(RelativeAttentionLayer):
  """The parameters of `RelativeAttentionLayer`."""

  def __call__(
    self, x_BTD: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None]:
    """x_BTD -> y_BTD; with a cache as in `AttentionLayer`."""
    if cache is not None:
      return super().__call__(x_BTD, ctx, cache)
    windows = self._windows(x_BTD.shape[1])
    length = min(self.spec.mask.segment, x_BTD.shape[1])
    q = self.query(x_BTD)
    q = q.reshape(-1, length, *q.shape[2:])
    k, v = (self._seen(part, x_BTD, windows, length) for part in (self.key, self.value))
    key = ctx.key_for("attention_weights")
    rate = 0.0 if key is None else ctx.dropout
    if key is not None and key.ndim:
      # Each segment of a row is a row here.
      key = jax.vmap(lambda one: jax.random.split(one, len(windows)))(key).reshape(-1)
    call = self.spec.call(dropout=rate, aligned=False, batch_shards=ctx.batch_shards)
    y = attend(
      # What the mask says beyond this, the windows have left out.
      dataclasses.replace(call, mask=Causal()),
      q + self.content_bias[...].astype(q.dtype),
      k,
      v,
      sight=_sight(ctx, windows, length),
      bias=self._distances(q, windows.shape[1], None),
      key=key,
      kernel=ctx.execution.attention,
    )
    return self.out(y.reshape(*x_BTD.shape[:2], *y.shape[2:])), None

  def _windows(self, tokens: int) -> np.ndarray:
    """[C, M + L]: row indices of each segment and its memory, negative before the row."""
    length = min(self.spec.mask.segment, tokens)
    if tokens % length:
      raise ValueError(
        f"A row of {tokens} tokens is not made of whole segments of {length}. Make "
        "TASK_FEATURE_LENGTHS a multiple of it, or change the segment."
      )
    memory = min(self.spec.mask.memory, tokens - length)
    return np.arange(0, tokens, length)[:, None] + np.arange(-memory, length)

  def _seen(self, part, x_BTD, windows: np.ndarray, length: int) -> jax.Array:
    """[B C, M + L, K, H]: keys or values, of the memory without a gradient to it."""
    memory, own = windows[:, :-length], windows[:, -length:]
    kept = part(jax.lax.stop_gradient(x_BTD))[:, np.maximum(memory, 0)]
    both = jnp.concatenate([kept, part(x_BTD)[:, own]], axis=2)
    return both.reshape(-1, *both.shape[2:])


def _sight(ctx: Context, windows: np.ndarray, length: int) -> Sight:
  """What each segment's queries and keys are, in rows of their own."""
  documents = ctx.segments_BT[:, np.maximum(windows, 0)]
  documents = jnp.where(windows < 0, -1, documents).reshape(-1, windows.shape[1])
  keys = jnp.broadcast_to(jnp.arange(windows.shape[1]), documents.shape)
  return Sight(
    query_BT=keys[:, -length:],
    key_BS=keys,
    query_segments_BT=documents[:, -length:],
    key_segments_BS=documents,
  )
