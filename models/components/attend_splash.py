"""The `splash` kernel of `attend.py`: JAX's Pallas kernel for TPUs.

You are in: models/components. Scores stay in the chip's vector memory, in blocks, forward
and backward; blocks that a causal mask or a window hides are never loaded. The kernel is
`jax.experimental.pallas.ops.tpu.splash_attention`; here it gets our masks, documents and
soft cap. The tests run it on a CPU in Pallas's interpreter; nobody has run it on a TPU.

Shapes: B batch, T queries, S keys, N heads, K kv heads, H head dim.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from models.components.mask import Causal, Full, Sight, Windowed

LANES = 128  # numbers that a TPU's vector unit works on at once
BLOCK = 512  # queries, and keys, of a block at most


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
  """The axes of a mesh over which rows of a batch, and heads, lie on several devices."""

  mesh: jax.sharding.Mesh
  rows: tuple[str, ...]
  heads: tuple[str, ...]

  def devices(self, axes: tuple[str, ...]) -> int:
    return math.prod(self.mesh.shape[axis] for axis in axes)


def splash_kernel(
  call, q_BTNH, k_BSKH, v_BSKH, sight: Sight, bias, key, *, interpret: bool = False
):
  """See `attend.attend`; `bias` and `key` must be None. interpret: without a TPU."""
  assert bias is None and key is None
  run = functools.partial(_one_device, call, interpret=interpret)
  segments = sight.query_segments_BT, sight.key_segments_BS
  if call.split is None or call.split.mesh.size == 1:
    return run(q_BTNH, k_BSKH, v_BSKH, *segments)
  rows, heads = call.split.rows or None, call.split.heads or None
  queries = PartitionSpec(rows, None, heads)
  # One head of keys is everywhere.
  keys = PartitionSpec(rows, None, heads if k_BSKH.shape[2] > 1 else None)
  tokens = None if sight.key_segments_BS is None else PartitionSpec(rows)
  return jax.shard_map(
    run,
    mesh=call.split.mesh,
    in_specs=(queries, keys, keys, tokens, tokens),
    out_specs=queries,
    check_vma=False,
  )(q_BTNH, k_BSKH, v_BSKH, *segments)


def _one_device(
  call, q_BTNH, k_BSKH, v_BSKH, query_segments_BT, key_segments_BS, *, interpret: bool
):
  # A third of a second, which runs without TPUs do not have to wait for.
  from jax.experimental.pallas.ops.tpu import splash_attention as splash

  queries, keys = q_BTNH.shape[1], k_BSKH.shape[1]
  block_q, block_k = _block(queries), _block(keys)
  mask = _mask(splash, call.mask, (queries, keys))
  run = splash.make_splash_mha(
    splash.MultiHeadMask([mask] * q_BTNH.shape[2]),
    block_sizes=splash.BlockSizes(
      block_q=block_q,
      block_kv=block_k,
      # The same for the gradients of keys and of queries.
      block_q_dkv=block_q,
      block_kv_dkv=block_k,
      block_q_dq=block_q,
      block_kv_dq=block_k,
    ),
    head_shards=1,
    q_seq_shards=1,
    attn_logits_soft_cap=call.softcap,
    residual_checkpoint_name="attention",  # one of execution.NAMES
    interpret=interpret,
  )
  segments = None
  if key_segments_BS is not None:
    segments = splash.SegmentIds(q=query_segments_BT, kv=key_segments_BS)
  # It takes one row, heads first, and does not scale.
  q_BNTH = jnp.swapaxes(q_BTNH * jnp.asarray(call.scale, q_BTNH.dtype), 1, 2)
  k_BKSH, v_BKSH = (jnp.swapaxes(x, 1, 2) for x in (k_BSKH, v_BSKH))
  return jnp.swapaxes(jax.vmap(run)(q_BNTH, k_BKSH, v_BKSH, segments), 1, 2)


def _mask(splash, mask: object, shape: tuple[int, int]) -> object:
  if type(mask) is Windowed:
    # Positions to the left and right beside the own one.
    return splash.LocalMask(shape, (mask.window - 1, 0), offset=0)
  if type(mask) is Causal:
    return splash.CausalMask(shape)
  return splash.FullMask(shape)


def _block(length: int) -> int:
  """The largest multiple of LANES up to BLOCK that divides the length."""
  return next(size for size in range(BLOCK, 0, -LANES) if length % size == 0)


def splash_refuses(call, q: tuple, k: tuple, bias: tuple | None) -> str | None:
  """Why it cannot compute a case; see `attend.choose`."""
  if (spread := _spread_refuses(call, q, k)) is not None:
    return spread
  if call.dropout:
    return "attention dropout is computed by einsum"
  if bias is not None:
    return "it adds no bias to scores"
  if type(call.mask) not in (Causal, Full, Windowed):
    return f"it has no mask like {type(call.mask).__name__}"
  if type(call.mask) is not Full and not call.aligned:
    return "queries and keys are not the same positions of a row"
  for length in (q[1], k[1]):
    if length % LANES:
      return f"length {length} is not a multiple of {LANES}"
  for width in (q[-1], call.value_dim or k[-1]):
    if width % (LANES // 2):
      return f"heads {width} wide are not a multiple of {LANES // 2}"
  return None


def _spread_refuses(call, q: tuple, k: tuple) -> str | None:
  """XLA cannot split its calls, so they are made on each device for a part of their own."""
  if call.ring is not None:
    return "it would gather the tokens of a row, which the mesh splits"
  if call.split is None:
    devices = jax.device_count()
    where = f"how rows and heads lie on {devices} devices is not known here"
    return where if devices > 1 else None
  rows = call.split.devices(call.split.rows)
  heads = call.split.devices(call.split.heads)
  if q[0] % rows:
    return f"batch {q[0]} does not divide over {rows} devices"
  if q[2] % heads or (k[2] > 1 and k[2] % heads):
    return f"{q[2]} heads, {k[2]} of keys, do not divide over {heads} devices"
  return None
