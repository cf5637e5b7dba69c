"""attend: softmax(q k^T * scale + bias) v, on each kind of hardware.

You are in: models/components. A kernel is a function with the signature of `_einsum`
and a line in KERNELS that says which cases it refuses and why; all of them compute the
same numbers to rounding. Nothing falls back in silence: `choose` returns its reasons,
and `fallbacks` those that `Execution.strict` makes errors.

Shapes: B batch, T queries, S keys, N heads, K kv heads, G = N / K, H head dim.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from models.components.attend_all_to_all import all_to_all_kernel, all_to_all_refuses
from models.components.attend_blockwise import SMALLEST, block, blockwise_kernel
from models.components.attend_cudnn import cudnn_kernel, cudnn_refuses
from models.components.attend_ring import Ring, ring_kernel
from models.components.attend_rows import MASKED, rows_kernel
from models.components.attend_splash import Split, splash_kernel, splash_refuses
from models.components.by_row import drawn
from models.components.distance_bias import DistanceBias, whole
from models.components.mask import Sight, allowed
from models.components.recompute import named

WHOLE_SCORES = 256 << 20  # bytes of one row's scores from which blocks take over


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attend:
  """One attention call without its arrays: what a kernel needs to know beforehand."""

  mask: object
  scale: float
  dropout: float = 0.0
  aligned: bool  # queries and keys are the same positions 0..T-1 of the row
  batch_shards: int = 1
  ring: Ring | None = None  # devices among which queries and keys are split
  split: Split | None = None  # devices among which rows and heads are, None if unknown
  value_dim: int | None = None  # width of a value, where it is not that of a key
  softcap: float | None = None  # scores become softcap * tanh(scores / softcap)
  dtype: str = "float32"  # of queries, keys and values


def attend(
  call: Attend,
  q_BTNH: jax.Array,
  k_BSKH: jax.Array,
  v_BSKH: jax.Array,
  *,
  sight: Sight,
  bias: DistanceBias | jax.Array | None = None,
  key: jax.Array | None = None,
  kernel: str | tuple[str, ...] = "auto",
) -> jax.Array:
  """Mixes values; [B, T, N, width of v] in the dtype of q. `bias` is [1 or B, N, T, S],
  or one of distances. kernel: see `Execution.attention`."""
  call = dataclasses.replace(call, dtype=q_BTNH.dtype.name)
  name, _ = choose(
    kernel, call, q_BTNH.shape, k_BSKH.shape, bias=None if bias is None else bias.shape
  )
  run = KERNELS[name].run
  if KERNELS[name].by_shard:
    run = functools.partial(_by_shard, run)
  return run(call, q_BTNH, k_BSKH, v_BSKH, sight, bias, key)


def _by_shard(run, call, q_BTNH, k_BSKH, v_BSKH, sight, bias, key):
  """`run` for the rows of each device, as places of an array axis: [shards, B / shards,
  ...], with a copy of the bias.

  So a loop over rows moves nothing, and the gradient of a bias is summed over rows and
  brought to its own shape on each device before devices add up theirs.
  """
  shards, rows = call.batch_shards, q_BTNH.shape[0]
  # One key for all rows would draw the same numbers for each device.
  if shards == 1 or rows % shards or (key is not None and key.ndim == 0):
    return run(call, q_BTNH, k_BSKH, v_BSKH, sight, bias, key)

  def split(x):
    return x.reshape(shards, rows // shards, *x.shape[1:])

  def copied(x):
    return jnp.broadcast_to(x, (shards, *x.shape))

  if bias is not None:
    bias = jax.tree.map(split if bias.shape[0] == rows else copied, bias)
  alone = functools.partial(run, dataclasses.replace(call, batch_shards=1))
  arrays = jax.tree.map(split, (q_BTNH, k_BSKH, v_BSKH, sight, key))
  y = jax.vmap(alone)(*arrays[:4], bias, arrays[4])
  return y.reshape(rows, *y.shape[2:])


def choose(
  kernel: str | tuple[str, ...], call: Attend, q: tuple, k: tuple, *, bias: tuple | None
) -> tuple[str, dict[str, str]]:
  """The kernel that runs these shapes, and why each one before it was not taken.

  kernel: a name, "auto", or names in the order in which they are tried. Raises
  ValueError for an unknown name, and when every kernel that was named refuses.
  """
  refused: dict[str, str] = {}
  for name in _order(kernel, call):
    reason = _refuses(name, call, q, k, bias)
    if kernel == "auto":
      reason = reason or _declines(name, q, k)
    if not reason:
      return name, refused
    refused[name] = reason
  raise ValueError(
    f"Execution.attention={kernel!r} cannot compute this attention: "
    + "; ".join(refused.values() if isinstance(kernel, str) else _lines(refused))
    + ". Use 'auto' to let each layer take the best kernel that can, or end a list of "
    "kernels with 'einsum', which always can."
  )


def fallbacks(
  kernel: str | tuple[str, ...], call: Attend, q: tuple, k: tuple, *, bias: tuple | None
) -> dict[str, str]:
  """Of what `choose` passed over, the kernels that this backend has but that refused,
  with their reasons. What "auto" thinks slower for a shape is not among them."""
  _, passed = choose(kernel, call, q, k, bias=bias)
  return {
    name: reason
    for name in passed
    if KERNELS[name].backend in (None, jax.default_backend())
    and (reason := _refuses(name, call, q, k, bias))
  }


def _order(kernel: str | tuple[str, ...], call: Attend) -> tuple[str, ...]:
  if kernel == "auto":
    # Others would have every device gather all keys.
    split = () if call.ring is None else ("ring",)
    return split + PREFERRED.get(jax.default_backend(), ("einsum",))
  names = (kernel,) if isinstance(kernel, str) else kernel
  for name in names:
    if name not in KERNELS:
      raise ValueError(
        f"Execution.attention={kernel!r}: {name!r} is unknown; known: auto, "
        f"{', '.join(KERNELS)}."
      )
  return names


def _refuses(name: str, call: Attend, q: tuple, k: tuple, bias) -> str | None:
  """Why a kernel cannot compute a case here."""
  needs, backend = KERNELS[name].backend, jax.default_backend()
  if needs not in (None, backend):
    return f"needs a {needs.upper()}, the backend is {backend}"
  return KERNELS[name].refuses(call, q, k, bias)


def _lines(reasons: dict[str, str]) -> list[str]:
  return [f"{name}: {why}" for name, why in reasons.items()]


def _einsum(call, q_BTNH, k_BSKH, v_BSKH, sight, bias, key):
  """The definition: scores of all positions at once, float32."""
  B, T, N, H = q_BTNH.shape
  S, K = k_BSKH.shape[1:3]
  q_BTKGH = q_BTNH.reshape(B, T, K, N // K, H)
  if call.scale != 1.0:
    q_BTKGH = q_BTKGH * jnp.asarray(call.scale, q_BTKGH.dtype)
  scores = jnp.einsum(
    "btkgh,bskh->bkgts", q_BTKGH, k_BSKH, preferred_element_type=jnp.float32
  )
  if call.softcap is not None:
    scores = call.softcap * jnp.tanh(scores / call.softcap)
  if bias is not None:
    bias = whole(bias)
    scores = scores + bias.reshape(bias.shape[0], K, N // K, T, S)
  visible = allowed(call.mask, sight)
  if visible is not None:
    scores = jnp.where(visible[:, None, None], scores, MASKED)
  weights = jax.nn.softmax(scores, axis=-1).astype(v_BSKH.dtype)
  if key is not None:

    def kept(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
      return jax.random.bernoulli(key, 1.0 - call.dropout, shape)

    keep = drawn(kept, key, weights.shape)
    weights = jnp.where(keep, weights / (1.0 - call.dropout), 0)
  mixed = jnp.einsum("bkgts,bskh->btkgh", weights, v_BSKH)
  return named(mixed.reshape(B, T, N, -1), "attention")


def _einsum_refuses(call, q, k, bias) -> str | None:
  return None


def _rows_refuses(call, q, k, bias) -> str | None:
  if q[0] % call.batch_shards:
    return f"batch {q[0]} does not divide over {call.batch_shards} batch shards"
  if call.dropout:
    return "attention dropout is computed by einsum"
  if call.softcap is not None:
    return "soft-capped scores are computed by einsum"
  if q[1] == 1:
    return "one query a row has no score tile worth splitting"
  if bias is not None and bias[0] != 1:
    return "every row has a bias of its own"
  return None


def _blockwise_refuses(call, q, k, bias) -> str | None:
  if call.dropout:
    return "attention dropout is computed by einsum"
  if bias is not None and bias[0] != 1:
    return "every row has a bias of its own"
  for length in (q[1], k[1]):
    if block(length) < SMALLEST:
      return f"length {length} has no divisor from {SMALLEST} to 512 to cut blocks by"
  return None


def _ring_refuses(call, q, k, bias) -> str | None:
  if call.ring is None:
    return "the mesh does not split the tokens of a row (Mesh.context is 1)"
  for length in (q[1], k[1]):
    if length % call.ring.devices:
      return f"length {length} does not divide over {call.ring.devices} devices"
  if call.dropout:
    return "attention dropout is computed by einsum"
  if bias is not None and bias[0] != 1:
    return "every row has a bias of its own"
  return None


def _declines(name: str, q: tuple, k: tuple) -> str | None:
  """Why a kernel that could run is not taken unless asked for."""
  scores = 4 * q[2] * q[1] * k[1]
  if name == "blockwise" and scores <= WHOLE_SCORES:
    return f"{scores >> 20} MiB of scores a row need no blocks"
  if name == "rows" and scores > WHOLE_SCORES:
    return f"{scores >> 20} MiB of scores a row would exist at once"
  return None


@dataclasses.dataclass(frozen=True)
class Kernel:
  """A function with the signature of `_einsum`; (call, shape of q, shape of k, shape of
  the bias or None) -> why it refuses or None; the one backend that has it, or None; and
  whether it runs once for the rows of each device (`_by_shard`)."""

  run: Callable
  refuses: Callable
  backend: str | None = None
  by_shard: bool = False


KERNELS = {
  "einsum": Kernel(_einsum, _einsum_refuses, by_shard=True),
  "rows": Kernel(rows_kernel, _rows_refuses, by_shard=True),
  "blockwise": Kernel(blockwise_kernel, _blockwise_refuses, by_shard=True),
  "ring": Kernel(ring_kernel, _ring_refuses),
  "all_to_all": Kernel(all_to_all_kernel, all_to_all_refuses),
  "cudnn": Kernel(cudnn_kernel, cudnn_refuses, "gpu"),
  "splash": Kernel(splash_kernel, splash_refuses, "tpu"),
}
# Fastest first. Those that were never run on their hardware are asked for by name.
PREFERRED = {
  "cpu": ("rows", "blockwise", "einsum"),
  "gpu": ("blockwise", "einsum"),
  "tpu": ("blockwise", "einsum"),
}
