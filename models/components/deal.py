"""Deal: pieces of a stack to stages in turn, as cards are dealt to players.

You are in: models/components, below pipeline.py. States and checkpoints keep layers in
their order, so that a device holds neighbours; an interleaved pipeline wants piece 0 on
stage 0, piece 1 on stage 1, and after the last stage on stage 0 again. So in each step
every device sends the pieces that belong elsewhere, and the gradient of that program
sends theirs back: once a step, whatever the number of microbatches.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec


def dealt(x: jax.Array, *, mesh: jax.sharding.Mesh, axis: str, hands: int) -> jax.Array:
  """[L, ...], of which device s holds the s-th part -> [S, V, L / (S V), ...]: place
  [s, v] is piece v S + s. V: hands, pieces of each stage."""
  S = mesh.shape[axis]
  at = PartitionSpec(axis)
  moves = _moves(S, hands)
  # What each device sends and where it puts what it takes: a column of its own.
  tables = jnp.array([(sent, taken) for sent, taken, _ in moves]).transpose(2, 0, 1)

  @functools.partial(
    jax.shard_map,
    mesh=mesh,
    in_specs=(at, at),
    out_specs=at,
    axis_names={axis},
    check_vma=False,
  )
  def exchanged(x, table):
    pieces = x.reshape(hands, -1, *x.shape[1:])
    found = jnp.zeros_like(pieces)
    for (_, _, pairs), (sent, taken) in zip(moves, table[0], strict=True):
      piece = jax.lax.dynamic_index_in_dim(pieces, sent, 0, False)
      piece = jax.lax.ppermute(piece, axis, pairs)
      # A device that nothing comes to has `hands` here. It must not branch: devices that
      # share other axes of an array would wait for each other.
      new = jax.lax.dynamic_update_index_in_dim(found, piece, taken, 0)
      found = jnp.where(taken < hands, new, found)
    return found[None]

  return exchanged(x, tables)


@functools.lru_cache
def _moves(
  stages: int, hands: int
) -> tuple[tuple[tuple[int, ...], tuple[int, ...], tuple], ...]:
  """Exchanges in which every device sends one piece at most and takes one at most: (the
  piece that each sends, the place that each puts what it takes, (from, to) pairs)."""
  moves = []
  for turn in range(stages):
    sent = np.full((stages, hands), -1)
    taken = np.full((stages, hands), hands)
    for source in range(stages):
      target = (source + turn) % stages
      own = range(source * hands, (source + 1) * hands)
      for place, piece in enumerate(p for p in own if p % stages == target):
        sent[source, place] = piece - source * hands
        taken[target, place] = piece // stages
    for place in range(hands):
      froms = [s for s in range(stages) if sent[s, place] >= 0]
      if froms:
        pairs = tuple((s, (s + turn) % stages) for s in froms)
        moves.append(
          (
            tuple(np.maximum(sent[:, place], 0).tolist()),
            tuple(taken[:, place].tolist()),
            pairs,
          )
        )
  return tuple(moves)
