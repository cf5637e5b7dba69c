"""The `ring` kernel of `attend.py`: rows whose tokens lie on several devices.

You are in: models/components. Every device keeps its queries; keys and values travel
around the ring, one neighbour a turn, and what arrives is added to the softmax (Liu et
al. 2023, arXiv:2310.01889, algorithm 1). What a device computes of one arriving part is
the `blockwise` kernel's work, forward and backward: its backward pass needs of the
whole row nothing but the sum of its weights. So no device ever holds all keys.

Shapes: B batch, T queries, S keys, N heads, K kv heads, G query heads a kv head, H head
dim. Inside `jax.shard_map`, T and S are one device's share; B and heads stay global.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from models.components import attend_blockwise
from models.components.distance_bias import DistanceBias
from models.components.mask import Sight
from models.components.recompute import named


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ring:
  """Devices among which the tokens of a row are split: one axis of a mesh."""

  mesh: jax.sharding.Mesh
  axis: str

  @property
  def devices(self) -> int:
    return self.mesh.shape[self.axis]


@dataclasses.dataclass(frozen=True)
class _Call:
  """What is fixed while tracing. inner: the same for one part of keys."""

  ring: Ring
  inner: attend_blockwise._Call
  aligned: bool


def ring_kernel(call, q_BTNH, k_BSKH, v_BSKH, sight: Sight, bias, key):
  """See `attend.attend`; `bias` has one row for the batch, `key` must be None."""
  assert key is None
  B, T, N, H = q_BTNH.shape
  S, K = k_BSKH.shape[1:3]
  by_distance = isinstance(bias, DistanceBias)
  if bias is not None:
    bias = bias.by_distance_NW if by_distance else bias[0]
  mine, theirs = T // call.ring.devices, S // call.ring.devices
  inner = attend_blockwise._Call(
    call.mask,
    call.softcap,
    False,  # whether a part is aligned depends on whose it is
    mine,
    attend_blockwise.block(mine),
    attend_blockwise.block(theirs),
    by_distance,
  )
  q = jnp.moveaxis(q_BTNH.reshape(B, T, K, N // K, H), 1, 3)
  q = q * jnp.asarray(call.scale, q.dtype)
  k, v = (jnp.moveaxis(x, 1, 2) for x in (k_BSKH, v_BSKH))
  out_BKGTH = _attend(_Call(call.ring, inner, call.aligned), q, k, v, bias, sight)
  return jnp.moveaxis(out_BKGTH, 3, 1).reshape(B, T, N, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(fixed, q, k, v, bias, sight):
  return _forward(fixed, q, k, v, bias, sight)[0]


def _forward(fixed, q, k, v, bias, sight):
  queries, keys, bias_at = _specs(fixed, bias)
  rows = jax.tree.map(lambda _: PartitionSpec(None, fixed.ring.axis), sight)
  turn = _mapped(
    fixed,
    _forward_ring,
    (queries, keys, keys, bias_at, rows),
    (queries, PartitionSpec(*queries[:4])),
  )
  out, log_sum = (named(x, "attention") for x in turn(q, k, v, bias, sight))
  return out, (q, k, v, bias, sight, out, log_sum)


def _backward(fixed, saved, d_out):
  q, k, v, bias, sight, out, log_sum = saved
  queries, keys, bias_at = _specs(fixed, bias)
  rows = jax.tree.map(lambda _: PartitionSpec(None, fixed.ring.axis), sight)
  turn = _mapped(
    fixed,
    _backward_ring,
    (
      queries,
      keys,
      keys,
      bias_at,
      rows,
      queries,
      PartitionSpec(*queries[:4]),
      queries,
    ),
    (queries, keys, keys, bias_at),
  )
  return *turn(q, k, v, bias, sight, out, log_sum, d_out), None


_attend.defvjp(_forward, _backward)


def _specs(fixed: _Call, bias: jax.Array | None) -> tuple:
  """Where queries [B, K, G, T, H], keys [B, K, S, H] and the bias are split."""
  axis = fixed.ring.axis
  at = None
  if bias is not None:
    # A bias by distance is small, and everywhere; of another, each has its queries'.
    at = PartitionSpec() if fixed.inner.by_distance else PartitionSpec(None, axis)
  return (
    PartitionSpec(None, None, None, axis, None),
    PartitionSpec(None, None, axis, None),
    at,
  )


def _mapped(fixed: _Call, function, into: tuple, out: tuple):
  """`function` on every device of the ring; other mesh axes are left to XLA."""
  return jax.shard_map(
    functools.partial(function, fixed),
    mesh=fixed.ring.mesh,
    in_specs=into,
    out_specs=out,
    axis_names={fixed.ring.axis},
    check_vma=False,
  )


def _forward_ring(fixed, q, k, v, bias, sight):
  me = jax.lax.axis_index(fixed.ring.axis)

  def turn(carry, number):
    k, v, seen, top, out = carry
    owner = (me - number) % fixed.ring.devices

    def add(top, out):
      part = _part(fixed, bias, me, owner, q.shape[3], k.shape[2])
      new, saved = attend_blockwise._forward(fixed.inner, q, k, v, part, seen)
      both = jnp.logaddexp(top, saved[-1])
      old = jnp.exp(top - both)[..., None] * out
      return both, old + jnp.exp(saved[-1] - both)[..., None] * new

    visible = _visible(fixed, me, owner, q.shape[3], k.shape[2])
    top, out = jax.lax.cond(visible, add, lambda *same: same, top, out)
    return (*_passed(fixed, (k, v)), _passed_sight(fixed, seen), top, out), None

  top = jnp.full(q.shape[:-1], attend_blockwise.MASKED, jnp.float32)
  out = jnp.zeros((*q.shape[:-1], v.shape[-1]), jnp.float32)
  turns = jnp.arange(fixed.ring.devices)
  (*_, top, out), _ = jax.lax.scan(turn, (k, v, sight, top, out), turns)
  return out.astype(q.dtype), top


def _backward_ring(fixed, q, k, v, bias, sight, out, log_sum, d_out):
  """Gradients of keys and values travel with them, and are home after a whole turn."""
  me = jax.lax.axis_index(fixed.ring.axis)

  def turn(carry, number):
    k, v, seen, totals = carry
    owner = (me - number) % fixed.ring.devices

    def add(d_q, d_k, d_v, d_bias):
      part = _part(fixed, bias, me, owner, q.shape[3], k.shape[2])
      saved = (q, k, v, part, seen, out, log_sum)
      more = attend_blockwise._backward(fixed.inner, saved, d_out)
      d_q, d_k, d_v = (a + b for a, b in zip((d_q, d_k, d_v), more[:3], strict=True))
      if d_bias is not None:
        start = _start(fixed, me, owner, q.shape[3], k.shape[2])
        old = _part(fixed, d_bias, me, owner, q.shape[3], k.shape[2])
        d_bias = jax.lax.dynamic_update_slice(d_bias, old + more[3], start)
      return d_q, d_k, d_v, d_bias

    visible = _visible(fixed, me, owner, q.shape[3], k.shape[2])
    d_q, d_k, d_v, d_bias = jax.lax.cond(visible, add, lambda *same: same, *totals)
    k, v, d_k, d_v = _passed(fixed, (k, v, d_k, d_v))
    return (k, v, _passed_sight(fixed, seen), (d_q, d_k, d_v, d_bias)), None

  zeros = tuple(
    None if x is None else jnp.zeros(x.shape, jnp.float32) for x in (q, k, v, bias)
  )
  turns = jnp.arange(fixed.ring.devices)
  (*_, totals), _ = jax.lax.scan(turn, (k, v, sight, zeros), turns)
  d_q, d_k, d_v, d_bias = totals
  if d_bias is not None:
    if fixed.inner.by_distance:
      d_bias = jax.lax.psum(d_bias, fixed.ring.axis)
    d_bias = d_bias.astype(bias.dtype)
  return d_q.astype(q.dtype), d_k.astype(k.dtype), d_v.astype(v.dtype), d_bias


def _visible(fixed: _Call, me, owner, mine: int, theirs: int) -> jax.Array:
  """Whether any of my queries may look at any key of `owner`."""
  if not fixed.aligned:
    return jnp.asarray(True)
  first, last = fixed.inner.mask.reach(me * mine, (me + 1) * mine)
  near = (owner + 1) * theirs > first
  return near if last is None else near & (owner * theirs < last)


def _start(fixed: _Call, me, owner, mine: int, theirs: int) -> tuple:
  """Where the bias of my queries and keys of `owner` begins."""
  if fixed.inner.by_distance:
    return 0, owner * theirs - (me + 1) * mine + mine * fixed.ring.devices
  return 0, 0, owner * theirs


def _part(fixed: _Call, bias, me, owner, mine: int, theirs: int) -> jax.Array | None:
  """The bias of my queries and keys of `owner`: [N, T + S - 1] or [N, T, S]."""
  if bias is None:
    return None
  sizes = (mine + theirs - 1,) if fixed.inner.by_distance else (mine, theirs)
  start = _start(fixed, me, owner, mine, theirs)
  return jax.lax.dynamic_slice(bias, start, (bias.shape[0], *sizes))


def _passed(fixed: _Call, arrays: tuple) -> tuple:
  """Each device's arrays, now with its neighbour."""
  count = fixed.ring.devices
  pairs = [(i, (i + 1) % count) for i in range(count)]
  return tuple(jax.lax.ppermute(x, fixed.ring.axis, pairs) for x in arrays)


def _passed_sight(fixed: _Call, sight: Sight) -> Sight:
  """What masks ask about keys travels with the keys."""
  names = ("key_BS", "key_segments_BS", "key_prefix_BS")
  known = {n: x for n in names if (x := getattr(sight, n)) is not None}
  moved = _passed(fixed, tuple(known.values()))
  return dataclasses.replace(sight, **dict(zip(known, moved, strict=True)))
