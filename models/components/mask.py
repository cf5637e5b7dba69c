"""Masks: who may look at whom, as types. Equal segments are required besides.

You are in: models/components. A mask is a rule on row indices; `attend.py` evaluates it
on the tile it computes, so no [B, T, S] array has to exist.

Shapes: query [B, T, 1] against key [B or 1, 1, S], giving a boolean [B, T, S].
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from models.components.spec import spec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sight:
  """What masks decide on: indices in the row, segments, and prefix flags.

  query_BT, key_BS: row indices. query_segments_BT, key_segments_BS: 0 is padding; None
  on both when the cache holds one document a row. query_prefix_BT, key_prefix_BS: 1
  inside a prefix.
  """

  query_BT: jax.Array
  key_BS: jax.Array
  query_segments_BT: jax.Array | None = None
  key_segments_BS: jax.Array | None = None
  query_prefix_BT: jax.Array | None = None
  key_prefix_BS: jax.Array | None = None


jax.tree_util.register_dataclass(Sight)


@spec
class Full:
  """Every position sees its whole segment."""

  def visible(self, sight: Sight) -> jax.Array | None:
    return None

  def seen(self, tokens: int) -> float:
    """Keys that a query of a row of so many tokens sees, on average."""
    return tokens

  def reach(self, first: jax.Array, last: jax.Array) -> tuple:
    """(first key, end of keys or None for all) that queries from `first` up to, not
    including, `last` may see."""
    return 0, None


@spec
class Causal:
  """A position sees itself and what came before."""

  def visible(self, sight: Sight) -> jax.Array | None:
    return sight.key_BS[:, None, :] <= sight.query_BT[:, :, None]

  def seen(self, tokens: int) -> float:
    """Keys that a query of a row of so many tokens sees, on average."""
    return (tokens + 1) / 2

  def reach(self, first: jax.Array, last: jax.Array) -> tuple:
    """As `Full.reach`."""
    return 0, last


@spec
class Windowed(Causal):
  """A position sees itself and the `window` - 1 positions before it (sliding window:
  Mistral, arXiv:2310.06825, section 2; the local bands of GPT-Neo and GPT-3)."""

  window: int

  def visible(self, sight: Sight) -> jax.Array | None:
    distance = sight.query_BT[:, :, None] - sight.key_BS[:, None, :]
    return (distance >= 0) & (distance < self.window)

  def seen(self, tokens: int) -> float:
    near = min(self.window, tokens)
    return near * (tokens - (near - 1) / 2) / tokens

  def reach(self, first: jax.Array, last: jax.Array) -> tuple:
    return jnp.maximum(first - self.window + 1, 0), last


@spec
class Strided(Causal):
  """The last `stride` positions, and every `stride`-th before them (Child et al. 2019,
  arXiv:1904.10509, section 4.3)."""

  stride: int

  def visible(self, sight: Sight) -> jax.Array | None:
    distance = sight.query_BT[:, :, None] - sight.key_BS[:, None, :]
    near = distance < self.stride
    return (distance >= 0) & (near | (distance % self.stride == 0))

  def seen(self, tokens: int) -> float:
    distance = np.arange(tokens)
    visible = (distance < self.stride) | (distance % self.stride == 0)
    return float(np.sum((tokens - distance) * visible)) / tokens


@spec
class Columns(Causal):
  """A position sees itself and every `stride`-th before it: the second pattern of
  `Strided` alone, for models whose layers take turns (arXiv:1904.10509, section 5.1)."""

  stride: int

  def visible(self, sight: Sight) -> jax.Array | None:
    distance = sight.query_BT[:, :, None] - sight.key_BS[:, None, :]
    return (distance >= 0) & (distance % self.stride == 0)

  def seen(self, tokens: int) -> float:
    distance = np.arange(0, tokens, self.stride)
    return float(np.sum(tokens - distance)) / tokens


@spec
class FixedBlocks(Causal):
  """The own block of `stride` positions, and the last `summary` positions of every block
  before it (Child et al. 2019, arXiv:1904.10509, section 4.3, "fixed").

  Blocks are those of the row: where documents are packed into one, what a token sees
  depends on where its document begins.
  """

  stride: int
  summary: int

  def visible(self, sight: Sight) -> jax.Array | None:
    query, key = sight.query_BT[:, :, None], sight.key_BS[:, None, :]
    same = query // self.stride == key // self.stride
    last = key % self.stride >= self.stride - self.summary
    return (key <= query) & (same | last)

  def seen(self, tokens: int) -> float:
    blocks, inside = np.divmod(np.arange(tokens), self.stride)
    return float(np.mean(blocks * self.summary + inside + 1))


@spec
class SegmentMemory(Causal):
  """The own segment up to itself, and `memory` positions before that segment (Dai et al.
  2019, arXiv:1901.02860, section 3.2)."""

  segment: int
  memory: int

  def visible(self, sight: Sight) -> jax.Array | None:
    query, key = sight.query_BT[:, :, None], sight.key_BS[:, None, :]
    first = query // self.segment * self.segment - self.memory
    return (key <= query) & (key >= first)

  def seen(self, tokens: int) -> float:
    query = np.arange(tokens)
    first = np.maximum(query // self.segment * self.segment - self.memory, 0)
    return float(np.mean(query - first + 1))


@spec
class PrefixCausal:
  """Causal, but positions of the prefix see the whole prefix (arXiv:1910.10683, 3.2)."""

  def visible(self, sight: Sight) -> jax.Array | None:
    causal = sight.key_BS[:, None, :] <= sight.query_BT[:, :, None]
    if sight.key_prefix_BS is None:
      raise ValueError(
        "PrefixCausal needs `decoder_causal_attention` in the batch. Use the layout "
        "layouts.PrefixDecoder, or mask.Causal for a plain causal model."
      )
    inside = sight.query_prefix_BT[:, :, None] * sight.key_prefix_BS[:, None, :]
    return causal | (inside > 0)

  def seen(self, tokens: int) -> float:
    """As if no token were in the prefix: its length is the data's."""
    return (tokens + 1) / 2

  def reach(self, first: jax.Array, last: jax.Array) -> tuple:
    return 0, None


def allowed(mask: object, sight: Sight) -> jax.Array | None:
  """Boolean [B, T, S], or None where everything is visible."""
  visible = mask.visible(sight)
  if sight.key_segments_BS is None:
    return visible
  same = sight.query_segments_BT[:, :, None] == sight.key_segments_BS[:, None, :]
  return same if visible is None else same & visible
