"""By row: random numbers that do not depend on which rows are computed together.

You are in: models/components, bottom layer. Microbatches of a pipeline, and devices, cut
a batch in many ways; a mask that is drawn row by row is the same in all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import jax

Sampler = Callable[[jax.Array, tuple[int, ...]], jax.Array]  # (key, shape) -> numbers


def keys_of(key: jax.Array, rows_B: jax.Array) -> jax.Array:
  """A key for each row, by its number: [B]."""
  return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, rows_B)


def drawn(
  sample: Sampler, key: jax.Array, shape: tuple[int, ...], *, axis: int = 0
) -> jax.Array:
  """sample(key, shape), where `key` may have one key for each place of `axis`."""
  if key.ndim == 0:
    return sample(key, shape)
  row = shape[:axis] + shape[axis + 1 :]
  return jax.vmap(lambda one: sample(one, row), out_axes=axis)(key)
