"""The `blockwise` kernel of `attend.py`: memory that grows with length, not its square.

You are in: models/components. Scores exist for one block of queries and one of keys at
a time; the softmax is kept up to date as blocks come (Milakov and Gimelshein 2018,
arXiv:1805.02867; Rabe and Staats 2021, arXiv:2112.05682). The backward pass computes the
blocks again, with the row sums of the forward pass (FlashAttention, Dao et al. 2022,
arXiv:2205.14135, appendix B). Blocks that the mask hides are skipped. Plain JAX: it runs
wherever XLA does.

Shapes: B batch, T queries, S keys, K kv heads, G query heads a kv head, H head dim,
X and Y queries and keys of a block. Scores are [B, K, G, X, Y].
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp

from models.components.attend_rows import MASKED
from models.components.distance_bias import DistanceBias, skew
from models.components.mask import Sight, allowed
from models.components.recompute import named

BLOCK = 512  # queries, and keys, of a block at most
SMALLEST = 32  # blocks smaller than this are not worth their loop


@dataclasses.dataclass(frozen=True)
class _Call:
  """What is fixed while tracing. by_distance: the bias is [N, W], not [N, T, S]."""

  mask: object
  softcap: float | None
  aligned: bool
  queries: int
  block_q: int
  block_k: int
  by_distance: bool


def block(length: int) -> int:
  """The largest block that divides the length."""
  return next(d for d in range(min(length, BLOCK), 0, -1) if length % d == 0)


def blockwise_kernel(call, q_BTNH, k_BSKH, v_BSKH, sight: Sight, bias, key):
  """See `attend.attend`; `bias` has one row for the batch, `key` must be None."""
  assert key is None
  B, T, N, H = q_BTNH.shape
  S, K = k_BSKH.shape[1:3]
  by_distance = isinstance(bias, DistanceBias)
  if bias is not None:
    bias = bias.by_distance_NW if by_distance else bias[0]
  fixed = _Call(
    call.mask, call.softcap, call.aligned, T, block(T), block(S), by_distance
  )
  q = jnp.moveaxis(q_BTNH.reshape(B, T, K, N // K, H), 1, 3)
  q = q * jnp.asarray(call.scale, q.dtype)
  k, v = (jnp.moveaxis(x, 1, 2) for x in (k_BSKH, v_BSKH))
  out_BKGTH = _attend(fixed, q, k, v, bias, sight)
  return jnp.moveaxis(out_BKGTH, 3, 1).reshape(B, T, N, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(fixed, q, k, v, bias, sight):
  return _forward(fixed, q, k, v, bias, sight)[0]


def _forward(fixed, q, k, v, bias, sight):
  def row(_, i):
    q_i = _cut(q, i, fixed.block_q, 3)

    def add(j, carry):
      top, total, sums = carry
      k_j, v_j = (_cut(x, j, fixed.block_k, 2) for x in (k, v))
      scores = _visible(
        fixed, _scores(fixed, q_i, k_j, _raw(fixed, bias, i, j)), sight, i, j
      )
      new_top = jnp.maximum(top, jnp.max(scores, axis=-1))
      weights = jnp.exp(scores - new_top[..., None])
      old = jnp.exp(top - new_top)
      sums = sums * old[..., None] + _mixed(weights, v_j)
      return new_top, total * old + jnp.sum(weights, axis=-1), sums

    start = jnp.full(q_i.shape[:-1], MASKED, jnp.float32)
    sums = jnp.zeros((*q_i.shape[:-1], v.shape[-1]), jnp.float32)
    carry = (start, jnp.zeros_like(start), sums)
    top, total, sums = jax.lax.fori_loop(*_reach(fixed, k, i), add, carry)
    return None, ((sums / total[..., None]).astype(q.dtype), top + jnp.log(total))

  _, (out, log_sum) = jax.lax.scan(row, None, jnp.arange(q.shape[3] // fixed.block_q))
  out, log_sum = (named(_joined(x), "attention") for x in (out, log_sum))
  return out, (q, k, v, bias, sight, out, log_sum)


def _backward(fixed, saved, d_out):
  q, k, v, bias, sight, out, log_sum = saved
  # sum_s weights * d_weights = d_out . out: the softmax's gradient without a reduction.
  row_dot = jnp.sum(d_out.astype(jnp.float32) * out.astype(jnp.float32), axis=-1)

  def row(carry, i):
    q_i, d_out_i, log_sum_i, dot_i = (
      _cut(x, i, fixed.block_q, 3) for x in (q, d_out, log_sum, row_dot)
    )

    def add(j, carry):
      d_q, d_k, d_v, d_bias = carry
      k_j, v_j = (_cut(x, j, fixed.block_k, 2) for x in (k, v))
      scores, pull = jax.vjp(
        functools.partial(_scores, fixed), q_i, k_j, _raw(fixed, bias, i, j)
      )
      scores = _visible(fixed, scores, sight, i, j)
      weights = jnp.exp(scores - log_sum_i[..., None])
      d_weights = jnp.einsum(
        "bkgxh,bkyh->bkgxy", d_out_i, v_j, preferred_element_type=jnp.float32
      )
      # Weights of hidden pairs are 0, and so is their gradient.
      d_q_i, d_k_j, d_raw = pull(weights * (d_weights - dot_i[..., None]))
      d_v_j = jnp.einsum("bkgxy,bkgxh->bkyh", weights.astype(v.dtype), d_out_i)
      if d_raw is not None:
        d_bias = _add_raw(fixed, d_bias, d_raw, i, j)
      return (
        d_q + d_q_i,
        _add(d_k, d_k_j, j, fixed.block_k),
        _add(d_v, d_v_j, j, fixed.block_k),
        d_bias,
      )

    d_q = jnp.zeros(q_i.shape, jnp.float32)
    d_q, *rest = jax.lax.fori_loop(*_reach(fixed, k, i), add, (d_q, *carry))
    return tuple(rest), d_q.astype(q.dtype)

  zeros = tuple(
    None if x is None else jnp.zeros(x.shape, jnp.float32) for x in (k, v, bias)
  )
  numbers = jnp.arange(q.shape[3] // fixed.block_q)
  (d_k, d_v, d_bias), d_q = jax.lax.scan(row, zeros, numbers)
  if d_bias is not None:
    d_bias = d_bias.astype(bias.dtype)
  return _joined(d_q), d_k.astype(k.dtype), d_v.astype(v.dtype), d_bias, None


_attend.defvjp(_forward, _backward)


def _scores(fixed, q_i, k_j, raw):
  """float32 [B, K, G, X, Y] before masking; `raw` is the bias's part of this block."""
  scores = jnp.einsum("bkgxh,bkyh->bkgxy", q_i, k_j, preferred_element_type=jnp.float32)
  if fixed.softcap is not None:
    scores = fixed.softcap * jnp.tanh(scores / fixed.softcap)
  if raw is None:
    return scores
  tile_NXY = skew(raw, fixed.block_q, fixed.block_k) if fixed.by_distance else raw
  return scores + tile_NXY.reshape(scores.shape[1:])


def _mixed(weights, v_j):
  low = weights.astype(v_j.dtype)
  return jnp.einsum("bkgxy,bkyh->bkgxh", low, v_j, preferred_element_type=jnp.float32)


def _visible(fixed, scores, sight, i, j):
  """Scores with MASKED where a query may not look."""
  mine = functools.partial(_part, number=i, size=fixed.block_q)
  theirs = functools.partial(_part, number=j, size=fixed.block_k)
  visible = allowed(
    fixed.mask,
    Sight(
      query_BT=mine(sight.query_BT),
      key_BS=theirs(sight.key_BS),
      query_segments_BT=mine(sight.query_segments_BT),
      key_segments_BS=theirs(sight.key_segments_BS),
      query_prefix_BT=mine(sight.query_prefix_BT),
      key_prefix_BS=theirs(sight.key_prefix_BS),
    ),
  )
  if visible is None:
    return scores
  return jnp.where(visible[:, None, None], scores, MASKED)


def _reach(fixed, k, i):
  """First and last key block of query block i."""
  count = k.shape[2] // fixed.block_k
  if not fixed.aligned:
    return 0, count
  first, last = fixed.mask.reach(i * fixed.block_q, (i + 1) * fixed.block_q)
  end = count if last is None else -(-last // fixed.block_k)
  return first // fixed.block_k, end


def _raw(fixed, bias, i, j):
  """The part of the bias that block (i, j) needs: [N, X + Y - 1] or [N, X, Y]."""
  return (
    None if bias is None else jax.lax.dynamic_slice(bias, *_where(fixed, bias, i, j))
  )


def _add_raw(fixed, d_bias, d_raw, i, j):
  start, sizes = _where(fixed, d_bias, i, j)
  old = jax.lax.dynamic_slice(d_bias, start, sizes)
  return jax.lax.dynamic_update_slice(d_bias, old + d_raw, start)


def _where(fixed, bias, i, j):
  """Start and sizes of the part of block (i, j)."""
  X, Y, heads = fixed.block_q, fixed.block_k, bias.shape[0]
  if fixed.by_distance:
    lowest = j * Y - (i + 1) * X + fixed.queries
    return (0, lowest), (heads, X + Y - 1)
  return (0, i * X, j * Y), (heads, X, Y)


def _cut(x, number, size, axis):
  return jax.lax.dynamic_slice_in_dim(x, number * size, size, axis)


def _part(x, *, number, size):
  return None if x is None else _cut(x, number, size, 1)


def _add(total, new, j, size):
  old = _cut(total, j, size, 2)
  return jax.lax.dynamic_update_slice_in_dim(total, old + new, j * size, 2)


def _joined(blocks):
  """[blocks, B, K, G, X, ...] -> [B, K, G, T, ...]."""
  x = jnp.moveaxis(blocks, 0, 3)
  return x.reshape(*x.shape[:3], -1, *x.shape[5:])
