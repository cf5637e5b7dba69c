"""Kernels of other hardware, as far as a CPU can tell; order and fallbacks of kernels.

cuDNN: the arguments of the call, whose numbers XLA computes here. Splash: in Pallas's
interpreter, and lowered for a TPU. Both beside the definition, which test_attend.py
holds against NumPy.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.components import attend as kernels
from models.components import attend_cudnn, attend_splash
from models.components.attend import Attend, attend, choose, fallbacks
from models.components.bias import ALiBi
from models.components.mask import (
  Causal,
  Full,
  PrefixCausal,
  Sight,
  Strided,
  Windowed,
)

FAST_COMPILE = {"xla_backend_optimization_level": 0}
B, T, N, K, H = 2, 128, 4, 2, 8
# Of the largest value; float32 sums of up to 128 terms in another order.
CLOSE = 1e-5


def arrays(tokens: int = T) -> dict:
  rng = np.random.default_rng(0)
  heads = {"q": N, "k": K, "v": K}
  return {
    name: rng.standard_normal((B, tokens, count, H), np.float32)
    for name, count in heads.items()
  }


def sight(*, packed: bool, tokens: int = T) -> Sight:
  """One row of one document, and one of two documents and padding."""
  index = np.tile(np.arange(tokens, dtype=np.int32), (B, 1))
  segments = np.ones((B, tokens), np.int32)
  segments[1] = np.repeat([1, 2, 0], [tokens // 4, tokens // 2, tokens // 4])
  prefix = np.int32(index < 9)
  return Sight(
    query_BT=index,
    key_BS=index,
    query_segments_BT=segments if packed else None,
    key_segments_BS=segments if packed else None,
    query_prefix_BT=prefix,
    key_prefix_BS=prefix,
  )


def gradients(kernel, call, seen: Sight, bias=None) -> tuple:
  """Output, and the gradients of a sum in which every number counts."""

  def loss(x):
    out = kernel(call, x["q"], x["k"], x["v"], seen, x.get("bias"), None)
    return jnp.sum(jnp.sin(out)), out

  x = arrays() | ({} if bias is None else {"bias": bias})
  run = jax.jit(jax.grad(loss, has_aux=True), compiler_options=FAST_COMPILE)
  return run(x)


def assert_same(kernel, call, seen: Sight, bias=None):
  ours, plain = (gradients(k, call, seen, bias) for k in (kernel, kernels._einsum))
  for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
    np.testing.assert_allclose(one, two, atol=CLOSE * np.abs(two).max())


@functools.cache
def t5_bias() -> np.ndarray:
  """Any bias of heads and distances, [1, N, T, T]."""
  by_distance = np.random.default_rng(1).standard_normal((N, 2 * T - 1), np.float32)
  distance = np.arange(T)[None, :] - np.arange(T)[:, None] + T - 1
  return by_distance[:, distance][None]


# mask, packed rows, bias -> what cuDNN is told beside an array.
CUDNN = {
  "causal": (Causal(), False, None, {"is_causal": True}),
  "causal, packed": (Causal(), True, None, {"is_causal": True}),
  "causal, packed, T5's bias": (Causal(), True, "t5", {"is_causal": True}),
  "causal, ALiBi": (Causal(), False, "alibi", {"is_causal": True}),
  "window": (
    Windowed(window=20),
    False,
    None,
    {"is_causal": True, "local_window_size": (19, 0)},
  ),
  "window, packed": (Windowed(window=20), True, None, {"is_causal": True}),
  "window, ALiBi": (Windowed(window=20), False, "alibi", {"is_causal": True}),
  "strided": (Strided(stride=16), False, None, {"is_causal": True}),
  "full": (Full(), False, None, {}),
  "full, packed": (Full(), True, None, {}),
  "prefix, packed": (PrefixCausal(), True, None, {}),
}
BY_NAME_ALONE = ("causal", "causal, ALiBi", "window", "full")


@pytest.mark.parametrize("case", CUDNN)
def test_cudnn_is_told_masks_by_name_and_computes_the_definition(case, monkeypatch):
  mask, packed, bias, by_name = CUDNN[case]
  told = {}
  real = jax.nn.dot_product_attention

  def instead(*arrays, implementation, **arguments):
    assert implementation == "cudnn"
    told.update(arguments)
    return real(*arrays, implementation="xla", **arguments)

  monkeypatch.setattr(jax.nn, "dot_product_attention", instead)
  scores = {"t5": t5_bias, "alibi": lambda: ALiBi().build(N)(T, T).dense_1NTS}
  call = Attend(mask=mask, scale=0.3, aligned=True)
  assert_same(
    attend_cudnn.cudnn_kernel,
    call,
    sight(packed=packed),
    None if bias is None else np.asarray(scores[bias]()),
  )
  mask = told.pop("mask")
  assert {k: v for k, v in told.items() if k not in ("scale", "bias")} == by_name
  assert (mask is None) == (case in BY_NAME_ALONE)


def test_cudnn_is_told_nothing_of_order_where_positions_differ():
  """While decoding, query 0 is not the row's first position."""
  call = Attend(mask=Causal(), scale=1.0, aligned=False)
  told = attend_cudnn.told(call, sight(packed=False), biased=False)
  assert told.keys() == {"mask"} and told["mask"].shape == (B, 1, T, T)


@pytest.mark.parametrize(
  ("mask", "packed", "softcap"),
  [(Causal(), True, None), (Windowed(window=20), True, 2.0), (Full(), False, None)],
  ids=["causal", "window and soft cap", "full"],
)
def test_splash_computes_the_definition(mask, packed, softcap):
  call = Attend(mask=mask, scale=0.3, aligned=True, softcap=softcap)
  interpreted = functools.partial(attend_splash.splash_kernel, interpret=True)
  assert_same(interpreted, call, sight(packed=packed))


@pytest.mark.parametrize(
  ("change", "bias", "lengths", "reason"),
  [
    ({}, None, (256, 256), None),
    ({"mask": Windowed(window=9), "softcap": 5.0}, None, (256, 256), None),
    ({"mask": Full(), "aligned": False}, None, (128, 384), None),
    ({}, (1, N, 256, 256), (256, 256), "adds no bias"),
    ({"dropout": 0.1}, None, (256, 256), "dropout"),
    ({"mask": PrefixCausal()}, None, (256, 256), "no mask like PrefixCausal"),
    ({"mask": Strided(stride=4)}, None, (256, 256), "no mask like Strided"),
    ({"aligned": False}, None, (1, 256), "not the same positions"),
    ({}, None, (200, 200), "200 is not a multiple of 128"),
    ({"value_dim": 80}, None, (256, 256), "80 wide are not a multiple of 64"),
  ],
)
def test_what_splash_refuses(change, bias, lengths, reason):
  call = Attend(**{"mask": Causal(), "scale": 1.0, "aligned": True} | change)
  q, k = ((B, length, heads, 64) for length, heads in zip(lengths, (N, K), strict=True))
  found = attend_splash.splash_refuses(call, q, k, bias)
  assert found is None if reason is None else reason in found


def test_cudnn_refuses_what_is_not_16_bits_wide():
  call = Attend(mask=Causal(), scale=1.0, aligned=True)
  shape = (B, T, N, H)
  assert "is float32" in attend_cudnn.cudnn_refuses(call, shape, shape, None)
  half = Attend(mask=Causal(), scale=1.0, aligned=True, dtype="bfloat16")
  assert attend_cudnn.cudnn_refuses(half, shape, shape, None) is None


def test_a_list_takes_the_first_kernel_that_can():
  call = Attend(mask=Causal(), scale=1.0, dropout=0.1, aligned=True)
  shape = (B, T, N, H)
  order = ("cudnn", "splash", "rows", "einsum", "blockwise")
  name, passed = choose(order, call, shape, shape, bias=None)
  assert name == "einsum" and list(passed) == ["cudnn", "splash", "rows"]
  assert passed["cudnn"] == "needs a GPU, the backend is cpu"
  # Only what this backend has fell back.
  assert fallbacks(order, call, shape, shape, bias=None).keys() == {"rows"}
  with pytest.raises(ValueError, match="cudnn: needs a GPU.*; rows: attention dropout"):
    choose(("cudnn", "rows"), call, shape, shape, bias=None)
  with pytest.raises(ValueError, match="'rowz' is unknown; known: auto, einsum"):
    choose(("rowz", "rows"), call, shape, shape, bias=None)


def test_a_list_reaches_the_kernels():
  x = arrays(16)
  call = Attend(mask=Causal(), scale=1.0, aligned=True)
  run = functools.partial(
    attend, call, x["q"], x["k"], x["v"], sight=sight(packed=True, tokens=16)
  )
  out = run(kernel=("cudnn", "rows"))
  np.testing.assert_allclose(out, run(kernel="einsum"), atol=1e-5)


def test_what_auto_thinks_slower_is_no_fallback():
  call = Attend(mask=Causal(), scale=1.0, aligned=True)
  long = (1, 8192, 2, 8)
  name, passed = choose("auto", call, long, long, bias=None)
  assert name == "blockwise" and "rows" in passed
  assert fallbacks("auto", call, long, long, bias=None) == {}


@pytest.mark.parametrize("mask", [Causal(), Windowed(window=100), Full()])
def test_splash_is_lowered_for_a_tpu(mask):
  """Its three kernels, forward and for the gradients of queries and of keys; as far as
  Pallas goes without the chip's own compiler."""
  call = Attend(mask=mask, scale=0.1, aligned=True)
  q, k = (jax.ShapeDtypeStruct((B, 1024, n, 64), jnp.bfloat16) for n in (N, K))
  seen = sight(packed=True, tokens=1024)

  def loss(q, k, v):
    out = attend_splash.splash_kernel(call, q, k, v, seen, None, None)
    return jnp.sum(out.astype(jnp.float32))

  traced = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).trace(q, k, k)
  assert traced.lower(lowering_platforms=("tpu",)).as_text().count("tpu_custom_") == 3
