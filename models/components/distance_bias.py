"""Score biases that depend on distance alone, whole or tile by tile.

You are in: models/components, bottom layer. T5's buckets and ALiBi say one number for
every head and distance; a kernel that never holds all scores needs no more than that.

Shapes: T queries, S keys, N heads, W distances that occur.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class DistanceBias:
  """bias[n, t, s] = by_distance_NW[n, s - t + T - 1], of T queries and S keys.

  by_distance_NW: [N, T + S - 1]. dense_1NTS: the same for every pair, computed only if
  a kernel reads it (`whole`): XLA drops what nobody uses. It passes no gradient.
  """

  by_distance_NW: jax.Array
  dense_1NTS: jax.Array

  @property
  def shape(self) -> tuple[int, ...]:
    """That of the whole bias."""
    return self.dense_1NTS.shape


jax.tree_util.register_dataclass(DistanceBias)


def distance_bias(by_distance_NW: jax.Array, queries: int, keys: int) -> DistanceBias:
  """From one number a head and distance, lowest (key 0, last query) first."""
  dense_1NTS = skew(jax.lax.stop_gradient(by_distance_NW), queries, keys)[None]
  return DistanceBias(by_distance_NW, dense_1NTS)


def whole(bias: DistanceBias | jax.Array | None) -> jax.Array | None:
  """The bias of every pair, [1 or B, N, T, S].

  Layers share what is computed once; each sums its gradient to [N, W] by itself, which is
  less to add up, over layers and over devices, than [N, T, S].
  """
  if not isinstance(bias, DistanceBias):
    return bias
  return _shared(bias.by_distance_NW, bias.dense_1NTS)


@jax.custom_vjp
def _shared(by_distance_NW: jax.Array, dense_1NTS: jax.Array) -> jax.Array:
  return dense_1NTS


def _shared_forward(by_distance_NW, dense_1NTS):
  return dense_1NTS, None


def _shared_backward(_, gradient_1NTS):
  _, heads, queries, keys = gradient_1NTS.shape
  width = jax.ShapeDtypeStruct((heads, queries + keys - 1), gradient_1NTS.dtype)
  skewed = functools.partial(skew, queries=queries, keys=keys)
  (found,) = jax.linear_transpose(skewed, width)(gradient_1NTS[0])
  return found, jnp.zeros_like(gradient_1NTS)


_shared.defvjp(_shared_forward, _shared_backward)


def skew(by_distance_NW: jax.Array, queries: int, keys: int) -> jax.Array:
  """[N, T, S] with [n, t, s] = by_distance[n, s - t + T - 1], by reshaping alone.

  No gather: its gradient would be a slow scatter of T x S values.
  """
  heads, width = by_distance_NW.shape
  padded = jnp.pad(by_distance_NW, ((0, 0), (0, 1)))
  rows = jnp.broadcast_to(padded[:, None], (heads, queries, width + 1))
  rows = rows.reshape(heads, queries * (width + 1))[:, : queries * width]
  return rows.reshape(heads, queries, width)[:, :, queries - 1 : queries - 1 + keys]
