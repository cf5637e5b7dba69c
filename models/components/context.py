"""Context: what travels with a batch through every layer, in one typed object.

You are in: models/components. Layers take `(x, ctx)` so that a new mask, cache or bias
never grows an argument list. Arrays here are closed over by scans, not carried.

Shapes: B batch, T queries, S keys, N heads.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable

import jax
import jax.numpy as jnp

from models.components.attend_ring import Ring
from models.components.attend_splash import Split
from models.components.by_row import drawn, keys_of
from models.components.execution import Execution
from models.components.pipeline import Stages


def unconstrained(x: jax.Array, axes: tuple) -> jax.Array:
  """Default of `Context.constrain`: leaves the placement of activations to XLA."""
  del axes
  return x


def unwatched(x: jax.Array, name: str) -> None:
  """Default of `Context.watch`: nobody looks."""
  del x, name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
  """The encoder's output, which decoder layers look at. output_BSD, segments_BS."""

  output_BSD: jax.Array
  segments_BS: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
  """One forward pass through one stack.

  segments_BT: 0 on padding; positions attend within equal segments only.
  positions_BT: position of a token in its document.
  block_positions_BT: position of a token in the span that it helps to fill in, 0 outside
    of spans (GLM's `*_block_positions` of the batch), or None.
  prefix_BT: 1 where a prefix-LM sees in both directions (T5X's
    `decoder_causal_attention`), None elsewhere.
  index_B: while decoding, the row index at which this call's tokens are written to the
    cache; None when a whole sequence is computed at once.
  tokens_BT: ids of the tokens, for layers that route by them.
  domains_BT: the domain of each token's document (`*_domain_ids` of the batch), or None.
  rows_B: number of each row in its batch. With it, random numbers are drawn row by row:
    the same however a batch is cut.
  types_BT: type of each token (BERT's segments, `*_token_types` of the batch), or None.
  number: the absolute number of the layer that is computed.
  bias: the stack's shared position bias [1 or B, N, T, S], or None.
  dropout, key: the rate, and a random key that is None in evaluation.
  rows_axis: while tracing, the axis over which the rows of this batch are also spread.
  constrain, watch, batch_shards, ring, split, stages: see `models.components.model.Pass`.
  """

  execution: Execution = Execution()
  segments_BT: jax.Array
  positions_BT: jax.Array
  block_positions_BT: jax.Array | None = None
  prefix_BT: jax.Array | None = None
  tokens_BT: jax.Array | None = None
  domains_BT: jax.Array | None = None
  types_BT: jax.Array | None = None
  rows_B: jax.Array | None = None
  number: jax.Array | int = 0
  memory: Memory | None = None
  index_B: jax.Array | None = None
  bias: jax.Array | None = None
  dropout: float = 0.0
  key: jax.Array | None = None
  constrain: Callable = unconstrained
  watch: Callable = unwatched
  batch_shards: int = 1
  ring: Ring | None = None
  split: Split | None = None
  stages: Stages | None = None
  rows_axis: str | None = None

  def by_row(self) -> dict[str, jax.Array]:
    """All arrays of [B, ...] that a block may read, by name."""
    found = {
      field.name: getattr(self, field.name) for field in dataclasses.fields(self)
    }
    found = {name: x for name, x in found.items() if _of_rows(name)}
    if self.memory is not None:
      found |= {
        "memory_BSD": self.memory.output_BSD,
        "memory_segments_BS": self.memory.segments_BS,
      }
    return {name: x for name, x in found.items() if x is not None}

  def with_rows(self, rows: dict[str, jax.Array]) -> Context:
    """The same context of other rows, given as `by_row` names them."""
    own = {name: x for name, x in rows.items() if _of_rows(name)}
    memory = None
    if "memory_BSD" in rows:
      memory = Memory(
        output_BSD=rows["memory_BSD"], segments_BS=rows["memory_segments_BS"]
      )
    return dataclasses.replace(self, memory=memory, **own)

  def over_rows(self, x: jax.Array) -> jax.Array:
    """x, a sum over the rows at hand, summed over all rows of the batch."""
    return x if self.rows_axis is None else jax.lax.psum(x, self.rows_axis)

  def layer(self, number: jax.Array | int) -> Context:
    """The same context for layer `number` of the stack: its own random key."""
    key = None if self.key is None else jax.random.fold_in(self.key, number)
    return dataclasses.replace(self, key=key, number=number)

  def key_for(self, name: str) -> jax.Array | None:
    """A key for one named place, the same in every run with this seed and step; one for
    each row where rows have numbers."""
    if self.key is None or self.dropout == 0.0:
      return None
    return self.keys(zlib.crc32(name.encode()))

  def keys(self, place: int) -> jax.Array:
    """A key for each row, or for all, at the place of this number."""
    key = jax.random.fold_in(self.key, place)
    return key if self.rows_B is None else keys_of(key, self.rows_B)

  def drop(self, x: jax.Array, name: str, *, draw: Callable = drawn) -> jax.Array:
    """Dropout (Srivastava et al. 2014) with a mask for each element of x.

    draw: as `by_row.drawn`, where the first axis of x is not that of rows.
    """
    self.watch(x, name)
    key = self.key_for(name)
    if key is None:
      return x
    keep = draw(self._kept, key, x.shape)
    return jnp.where(keep, x / (1.0 - self.dropout), jnp.zeros_like(x))

  def _kept(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.bernoulli(key, 1.0 - self.dropout, shape)


def _of_rows(name: str) -> bool:
  """Whether a field is an array of [B, ...]; `index_B` is for decoding alone."""
  return name.endswith("_BT") or name == "rows_B"
