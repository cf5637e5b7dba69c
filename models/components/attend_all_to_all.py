"""The `all_to_all` kernel of `attend.py`: rows whose tokens lie on several devices.

You are in: models/components. Instead of sending keys around (`ring`), devices exchange
once: before attention each gives away the heads and receives the tokens that it lacks,
so that it holds some heads of whole rows; afterwards the outputs go back (DeepSpeed
Ulysses, Jacobs et al. 2023, arXiv:2309.14509, section 3). What it moves does not grow
with the number of devices, and every device does an equal share of a causal mask; but
there can be no more devices than heads.

Shapes: B batch, T queries, S keys, N heads, K kv heads, H head dim.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from models.components.attend_blockwise import blockwise_kernel
from models.components.distance_bias import DistanceBias, distance_bias
from models.components.mask import Sight


def all_to_all_kernel(call, q_BTNH, k_BSKH, v_BSKH, sight: Sight, bias, key):
  """See `attend.attend`; `bias` has one row for the batch, `key` must be None."""
  assert key is None
  axis, devices = call.ring.axis, call.ring.devices
  queries, keys = q_BTNH.shape[1], k_BSKH.shape[1]
  # Fewer heads of keys than devices: each is sent to all devices that need it.
  copies = max(1, devices // k_BSKH.shape[2])
  k_BSKH, v_BSKH = (jnp.repeat(x, copies, axis=2) for x in (k_BSKH, v_BSKH))
  by_distance = isinstance(bias, DistanceBias)
  scores = bias.by_distance_NW if by_distance else bias
  heads = PartitionSpec(axis) if by_distance else PartitionSpec(None, axis)
  tokens = PartitionSpec(None, axis)

  def some_heads(q, k, v, scores, sight):
    exchange = functools.partial(jax.lax.all_to_all, axis_name=axis, tiled=True)
    q, k, v = (exchange(x, split_axis=2, concat_axis=1) for x in (q, k, v))
    if by_distance:
      scores = distance_bias(scores, queries, keys)
    alone = dataclasses.replace(call, ring=None)
    out = blockwise_kernel(alone, q, k, v, sight, scores, None)
    return exchange(out, split_axis=1, concat_axis=2)

  return jax.shard_map(
    some_heads,
    mesh=call.ring.mesh,
    # Positions and documents of whole rows are a few integers a token.
    in_specs=(tokens, tokens, tokens, heads, PartitionSpec()),
    out_specs=tokens,
    axis_names={axis},
    check_vma=False,
  )(q_BTNH, k_BSKH, v_BSKH, scores, sight)


def all_to_all_refuses(call, q: tuple, k: tuple, bias: tuple | None) -> str | None:
  """Why it cannot compute a case; see `attend.choose`."""
  if call.ring is None:
    return "the mesh does not split the tokens of a row (Mesh.context is 1)"
  devices = call.ring.devices
  for length in (q[1], k[1]):
    if length % devices:
      return f"length {length} does not divide over {devices} devices"
  if q[2] % devices:
    return f"{q[2]} heads do not divide over {devices} devices"
  if k[2] % devices and devices % k[2]:
    return f"{k[2]} heads of keys neither divide over {devices} devices nor into them"
  if call.dropout:
    return "attention dropout is computed by einsum"
  if bias is not None and bias[0] != 1:
    return "every row has a bias of its own"
  return None
