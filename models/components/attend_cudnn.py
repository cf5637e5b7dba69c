"""The `cudnn` kernel of `attend.py`: NVIDIA's fused attention, through `jax.nn`.

You are in: models/components. cuDNN skips blocks above the diagonal when it is told that
a mask is causal; a mask that it is given as an array it reads as a bias and computes in
full. So what a mask says is passed by name as far as cuDNN knows the name, and the rest,
which for packed rows is who shares a document, as an array. It is no part of "auto": it
was not run on a GPU by this project's tests, which compare what is passed instead.

Shapes: B batch, T queries, S keys, N heads, K kv heads, H head dim.
"""

from __future__ import annotations

import jax

from models.components.distance_bias import whole
from models.components.mask import Causal, Full, Sight, Windowed, allowed
from models.components.recompute import named


def cudnn_kernel(call, q_BTNH, k_BSKH, v_BSKH, sight: Sight, bias, key):
  """See `attend.attend`; `key` must be None."""
  assert key is None
  mixed = jax.nn.dot_product_attention(
    q_BTNH,
    k_BSKH,
    v_BSKH,
    bias=None if bias is None else whole(bias).astype(q_BTNH.dtype),
    scale=call.scale,
    implementation="cudnn",
    **told(call, sight, biased=bias is not None),
  )
  # Its softmax sums have no name: where blocks are recomputed, it runs again.
  return named(mixed, "attention")


def told(call, sight: Sight, *, biased: bool) -> dict[str, object]:
  """The arguments by which cuDNN learns of a mask: is_causal, local_window_size, mask."""
  if not (call.aligned and isinstance(call.mask, Causal)):
    return {"mask": _array(call.mask, sight)}
  by_name: dict[str, object] = {"is_causal": True}
  rest = Full() if type(call.mask) is Causal else call.mask
  # A window stands alone in cuDNN: beside a bias, as which it takes an array, it is
  # refused there.
  alone = sight.key_segments_BS is None and not biased
  if type(call.mask) is Windowed and alone:
    # Positions to the left and right beside the own one.
    by_name["local_window_size"] = (call.mask.window - 1, 0)
    rest = Full()
  return by_name | {"mask": _array(rest, sight)}


def _array(mask: object, sight: Sight) -> jax.Array | None:
  visible = allowed(mask, sight)
  return None if visible is None else visible[:, None]


def cudnn_refuses(call, q: tuple, k: tuple, bias: tuple | None) -> str | None:
  """Why it cannot compute a case; see `attend.choose`."""
  if call.dtype not in ("bfloat16", "float16"):
    return f"cuDNN computes in 16 bits, Execution.compute_dtype is {call.dtype}"
  if call.dropout:
    return "attention dropout is computed by einsum"
  if call.softcap is not None:
    return "soft-capped scores are computed by einsum"
  if q[-1] > 128 or q[-1] % 8:
    return f"head dim {q[-1]} is not a multiple of 8 up to 128"
  if call.value_dim is not None:
    return f"values are {call.value_dim} wide, keys {k[-1]}"
  if q[1] % 2 or k[1] % 2:
    return f"odd lengths {q[1]}, {k[1]}"
  if call.ring is not None:
    return "it would gather the tokens of a row, which the mesh splits"
  return None
