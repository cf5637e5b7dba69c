"""Masks: who may look at whom, as types. Equal segments are required besides.

You are in: models/components. A mask is a rule on row indices; `attend.py` evaluates it
on the tile it computes, so no [B, T, S] array has to exist.

Shapes: query [B, T, 1] against key [B or 1, 1, S], giving a boolean [B, T, S].
"""

from __future__ import annotations

import dataclasses

import jax

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


@spec
class Causal:
  """A position sees itself and what came before."""

  def visible(self, sight: Sight) -> jax.Array | None:
    return sight.key_BS[:, None, :] <= sight.query_BT[:, :, None]


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


def allowed(mask: object, sight: Sight) -> jax.Array | None:
  """Boolean [B, T, S], or None where everything is visible."""
  visible = mask.visible(sight)
  if sight.key_segments_BS is None:
    return visible
  same = sight.query_segments_BT[:, :, None] == sight.key_segments_BS[:, None, :]
  return same if visible is None else same & visible
