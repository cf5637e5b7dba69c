"""The `rows` kernel of `attend.py`: attention for CPUs, a few batch rows at a time.

You are in: models/components. Scores of a tile of rows stay in cache and are computed
again in the backward pass, so no [B, N, T, S] array is ever stored. The backward pass
is written out (as in FlashAttention, Dao et al. 2022, arXiv:2205.14135, appendix B):
with the row sums of d_out * out saved from the forward pass it needs no reduction over
keys, and it works on transposed scores, so that only one of its four products has to
transpose an operand.

Shapes: I tiles, R rows of one tile, T queries, S keys, K kv heads, G query heads a kv
head, H head dim. Scores are [R, K, G, T, S].
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from models.components.distance_bias import whole
from models.components.mask import Causal, Sight, allowed
from models.components.recompute import named

TILE_BYTES = 4 << 20  # scores computed at a time
CAUSAL_BLOCK = 128  # queries that share one causal bound
MASKED = -1e10  # finite, so that a row without any visible key stays a number


def rows_kernel(call, q_BTNH, k_BSKH, v_BSKH, sight: Sight, bias, key):
  """See `attend.attend`; `bias` is [1, N, T, S] or None, `key` must be None."""
  assert key is None
  B, T, N, H = q_BTNH.shape
  S, K = k_BSKH.shape[1:3]
  rows = _divisor(B, max(1, TILE_BYTES // (4 * N * T * S)))

  def split(x):
    return x.reshape(-1, rows, *x.shape[1:])

  q = split(jnp.moveaxis(q_BTNH.reshape(B, T, K, N // K, H), 1, 3))
  k, v = (split(jnp.moveaxis(x, 1, 2)) for x in (k_BSKH, v_BSKH))
  if bias is not None:
    bias = whole(bias).reshape(K, N // K, T, S)
  if call.scale != 1.0:
    q = q * jnp.asarray(call.scale, q.dtype)
  out = _tiles(_blocks(call, T), q, k, v, bias, jax.tree.map(split, sight), call.mask)
  out = out.reshape(B, K, N // K, T, -1)
  return jnp.moveaxis(out, 3, 1).reshape(B, T, N, -1)


def _blocks(call, queries: int) -> tuple[tuple[int, int, int], ...]:
  """(first query, last query, last key) of the parts of a tile.

  Causal queries skip the keys that no query of their block may see.
  """
  block = CAUSAL_BLOCK
  if not (call.aligned and isinstance(call.mask, Causal)) or queries % block:
    return ((0, queries, -1),)
  return tuple((i, i + block, i + block) for i in range(0, queries, block))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 6))
def _tiles(blocks, q, k, v, bias, sight, mask):
  return _forward(blocks, q, k, v, bias, sight, mask)[0]


def _forward(blocks, q, k, v, bias, sight, mask):
  def tile(_, x):
    q, k, v, sight = x
    outs, log_sums = [], []
    for first, last, keys in blocks:
      keys = k.shape[2] if keys < 0 else keys
      scores = _scores(q[..., first:last, :], k[:, :, :keys])
      scores = _masked(scores, bias, sight, mask, first, last, keys)
      top = jnp.max(scores, axis=-1, keepdims=True)
      weights = jnp.exp(scores - top)
      total = jnp.sum(weights, axis=-1, keepdims=True)
      out = _merged(
        "rkxs,rksh->rkxh", weights.astype(v.dtype), v[:, :, :keys], jnp.float32
      )
      outs.append((out / total).astype(q.dtype))
      log_sums.append((top + jnp.log(total))[..., 0])
    return None, (jnp.concatenate(outs, axis=3), jnp.concatenate(log_sums, axis=3))

  _, (out, log_sum) = jax.lax.scan(tile, None, (q, k, v, sight))
  out, log_sum = named(out, "attention"), named(log_sum, "attention")
  return out, (q, k, v, bias, sight, out, log_sum)


def _backward(blocks, mask, saved, d_out):
  q, k, v, bias, sight, out, log_sum = saved
  # sum_s weights * d_weights = d_out . out: the softmax's gradient without a reduction.
  product = d_out.astype(jnp.float32) * out.astype(jnp.float32)
  row_dot = jnp.sum(product, axis=-1)
  bias_T = None if bias is None else jnp.swapaxes(bias, 2, 3)
  zero = None if bias is None else jnp.zeros(bias_T.shape, jnp.float32)

  def tile(d_bias, x):
    q, k, v, sight, d_out, log_sum, row_dot = x
    d_q = []
    d_k = d_v = None
    for first, last, keys in blocks:
      keys = k.shape[2] if keys < 0 else keys
      part = (..., slice(first, last), slice(None))
      k_part, v_part = k[:, :, :keys], v[:, :, :keys]
      scores = _scores_T(k_part, q[part])
      scores = _masked_T(scores, bias_T, sight, mask, first, last, keys)
      weights = jnp.exp(scores - log_sum[:, :, :, None, first:last])
      d_weights = _scores_T(v_part, d_out[part])
      d_scores = weights * (d_weights - row_dot[:, :, :, None, first:last])
      if d_bias is not None:
        d_bias = d_bias.at[:, :, :keys, first:last].add(jnp.sum(d_scores, axis=0))
      low = d_scores.astype(q.dtype)
      d_q.append(jnp.einsum("rkgst,rksh->rkgth", low, k_part))
      new_k = jnp.einsum("rkgst,rkgth->rksh", low, q[part])
      new_v = jnp.einsum("rkgst,rkgth->rksh", weights.astype(q.dtype), d_out[part])
      d_k, d_v = _grow(new_k, d_k), _grow(new_v, d_v)
    return d_bias, (jnp.concatenate(d_q, axis=3), d_k, d_v)

  d_bias, (d_q, d_k, d_v) = jax.lax.scan(
    tile, zero, (q, k, v, sight, d_out, log_sum, row_dot)
  )
  if d_bias is not None:
    d_bias = jnp.swapaxes(d_bias, 2, 3).astype(bias.dtype)
  return d_q, d_k, d_v, d_bias, None


_tiles.defvjp(_forward, _backward)


def _scores(q_RKGTH, k_RKSH):
  """[R, K, G, T, S]; the G heads of a group are rows of one product."""
  R, K, G, T, H = q_RKGTH.shape
  flat = q_RKGTH.reshape(R, K, G * T, H)
  scores = jnp.einsum(
    "rkxh,rksh->rkxs", flat, k_RKSH, preferred_element_type=jnp.float32
  )
  return scores.reshape(R, K, G, T, -1)


def _scores_T(k_RKSH, q_RKGTH):
  """[R, K, G, S, T]."""
  return jnp.einsum(
    "rksh,rkgth->rkgst", k_RKSH, q_RKGTH, preferred_element_type=jnp.float32
  )


def _merged(equation, weights_RKGTS, v_RKSH, dtype):
  """Weights times values, [R, K, G, T, H]."""
  R, K, G, T, S = weights_RKGTS.shape
  flat = weights_RKGTS.reshape(R, K, G * T, S)
  out = jnp.einsum(equation, flat, v_RKSH, preferred_element_type=dtype)
  return out.reshape(R, K, G, T, -1)


def _masked(scores, bias, sight, mask, first, last, keys):
  if bias is not None:
    scores = scores + bias[:, :, first:last, :keys]
  visible = allowed(mask, _cut(sight, first, last, keys))
  if visible is None:
    return scores
  return scores + jnp.where(visible, 0.0, MASKED)[:, None, None]


def _masked_T(scores, bias_T, sight, mask, first, last, keys):
  if bias_T is not None:
    scores = scores + bias_T[:, :, :keys, first:last]
  visible = allowed(mask, _cut(sight, first, last, keys))
  if visible is None:
    return scores
  hidden = jnp.where(visible, 0.0, MASKED)
  return scores + jnp.swapaxes(hidden, 1, 2)[:, None, None]


def _cut(sight: Sight, first: int, last: int, keys: int) -> Sight:
  """The part of `sight` that belongs to these queries and keys."""

  def queries(x):
    return None if x is None else x[:, first:last]

  def until(x):
    return None if x is None else x[:, :keys]

  return Sight(
    query_BT=queries(sight.query_BT),
    key_BS=until(sight.key_BS),
    query_segments_BT=queries(sight.query_segments_BT),
    key_segments_BS=until(sight.key_segments_BS),
    query_prefix_BT=queries(sight.query_prefix_BT),
    key_prefix_BS=until(sight.key_prefix_BS),
  )


def _grow(new, old):
  """Adds gradients of the first keys to those of the fewer keys seen before."""
  if old is None:
    return new
  missing = new.shape[2] - old.shape[2]
  return new + jnp.pad(old, ((0, 0), (0, 0), (0, missing), (0, 0)))


def _divisor(number: int, limit: int) -> int:
  """The largest divisor of `number` that is at most `limit`."""
  return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)
