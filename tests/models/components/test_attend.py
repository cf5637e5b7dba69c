"""Attention kernels: all of them compute the definition, values and gradients.

The definition is written out here with NumPy in float64, one query at a time.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.components import attend_blockwise
from models.components.attend import Attend, attend, choose
from models.components.bias import ALiBi
from models.components.distance_bias import distance_bias
from models.components.mask import (
  Causal,
  FixedBlocks,
  Full,
  PrefixCausal,
  Sight,
  Strided,
  Windowed,
)

B, T, N, K, H = 3, 256, 4, 2, 8  # two causal blocks of 128 queries
# float32 sums of 256 weights; values are of the order of one.
CLOSE = 2e-6
FAST_COMPILE = {"xla_backend_optimization_level": 0}
MASKS = {
  "causal": Causal(),
  "full": Full(),
  "prefix": PrefixCausal(),
  "window": Windowed(window=70),
}


@functools.cache
def arrays(bias: bool = True) -> dict:
  rng = np.random.default_rng(0)
  made = {
    "q": rng.standard_normal((B, T, N, H), np.float32),
    "k": rng.standard_normal((B, T, K, H), np.float32),
    "v": rng.standard_normal((B, T, K, H), np.float32),
  }
  return (
    made | {"bias": rng.standard_normal((1, N, T, T), np.float32)} if bias else made
  )


def sight() -> Sight:
  """Rows: one document; two documents and padding; three documents."""
  index = np.tile(np.arange(T, dtype=np.int32), (B, 1))
  segments = np.ones((B, T), np.int32)
  segments[1] = np.repeat([1, 2, 0], [100, 120, 36])
  segments[2] = np.repeat([1, 2, 3], [30, 128, 98])
  prefix = np.int32(index % 100 < 20)
  return Sight(
    query_BT=index,
    key_BS=index,
    query_segments_BT=segments,
    key_segments_BS=segments,
    query_prefix_BT=prefix,
    key_prefix_BS=prefix,
  )


def sees(name: str) -> np.ndarray:
  """Boolean [B, T, S], from the words of each mask's docstring."""
  where = sight()
  same = where.query_segments_BT[:, :, None] == where.key_segments_BS[:, None]
  past = np.arange(T)[:, None] >= np.arange(T)
  inside = where.query_prefix_BT[:, :, None] * where.key_prefix_BS[:, None] > 0
  near = np.arange(T)[:, None] - np.arange(T) < 70
  rules = {"full": True, "causal": past, "prefix": past | inside, "window": past & near}
  return same & rules[name]


@functools.cache
def compiled(name: str, kernel: str, bias: bool, shards: int):
  """(arrays) -> output and gradients of a weighted sum of it."""
  call = Attend(mask=MASKS[name], scale=H**-0.5, aligned=True, batch_shards=shards)
  weight = np.cos(np.arange(B * T * N * H)).reshape(B, T, N, H).astype(np.float32)

  def loss(x):
    out = attend(
      call,
      x["q"],
      x["k"],
      x["v"],
      sight=sight(),
      bias=x.get("bias"),
      kernel=kernel,
    )
    return jnp.sum(out * weight), out

  run = jax.jit(jax.grad(loss, has_aux=True), compiler_options=FAST_COMPILE)
  grads, out = run(arrays(bias))
  return np.asarray(out), {k: np.asarray(g) for k, g in grads.items()}


def by_hand(name: str, bias: bool) -> np.ndarray:
  """softmax(q k^T / sqrt(H) + bias) v in float64; query heads share keys in groups."""
  x = {k: a.astype(np.float64) for k, a in arrays(bias).items()}
  k, v = (np.repeat(x[n], N // K, axis=2) for n in ("k", "v"))
  scores = np.einsum("btnh,bsnh->bnts", x["q"], k) / np.sqrt(H) + x.get("bias", 0.0)
  scores = np.where(sees(name)[:, None], scores, -np.inf)
  weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
  weights /= weights.sum(axis=-1, keepdims=True)
  return np.einsum("bnts,bsnh->btnh", weights, v)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", ["rows", "einsum", "blockwise"])
@pytest.mark.parametrize("name", MASKS)
def test_a_kernel_computes_the_definition(name, kernel, bias):
  out, _ = compiled(name, kernel, bias, 1)
  np.testing.assert_allclose(out, by_hand(name, bias), atol=CLOSE)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  """Four blocks of queries and of keys."""
  monkeypatch.setattr(attend_blockwise, "BLOCK", 64)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", ["rows", "blockwise"])
@pytest.mark.parametrize("name", MASKS)
def test_gradients_of_a_kernel_equal_those_of_the_definition(name, kernel, bias):
  _, rows = compiled(name, kernel, bias, 1)
  _, plain = compiled(name, "einsum", bias, 1)
  assert rows.keys() == arrays(bias).keys()
  for array, grad in rows.items():
    largest = np.abs(plain[array]).max()
    np.testing.assert_allclose(grad, plain[array], atol=1e-5 * largest, err_msg=array)


def test_rows_spread_over_devices_change_nothing():
  """Three shards of one row each, where one shard is a tile of several rows."""
  out, grads = compiled("causal", "rows", True, 1)
  sharded_out, sharded = compiled("causal", "rows", True, 3)
  np.testing.assert_allclose(sharded_out, out, atol=CLOSE)
  for array, grad in grads.items():
    np.testing.assert_allclose(sharded[array], grad, atol=1e-5 * np.abs(grad).max())


def test_a_query_without_any_visible_key_is_a_number():
  """A padded decoder row looks at an encoder row without padding: no key at all."""
  nothing = Sight(
    query_BT=np.zeros((B, T), np.int32),
    key_BS=np.zeros((B, T), np.int32),
    query_segments_BT=np.zeros((B, T), np.int32),
    key_segments_BS=np.ones((B, T), np.int32),
  )
  call = Attend(mask=Full(), scale=1.0, aligned=False)
  x = arrays()
  for kernel in ("rows", "einsum"):
    run = jax.jit(functools.partial(attend, call, sight=nothing, kernel=kernel))
    assert np.all(np.isfinite(run(x["q"], x["k"], x["v"])))


def test_attention_dropout_keeps_the_mean_and_drops_its_rate():
  """Values of one: each output is the sum of the kept, scaled-up weights."""
  call = Attend(mask=Full(), scale=H**-0.5, dropout=0.25, aligned=True)
  x = arrays() | {"v": np.ones((B, T, K, H), np.float32)}
  where = Sight(query_BT=sight().query_BT, key_BS=sight().key_BS)
  run = jax.jit(functools.partial(attend, call, sight=where))
  out = np.asarray(run(x["q"], x["k"], x["v"], key=jax.random.key(0)))[..., 0]
  # Each of the B T N sums has a standard deviation below 0.2.
  assert abs(out.mean() - 1) < 5 * 0.2 / np.sqrt(out.size)
  assert 0.01 < out.std() < 0.2


def test_a_kernel_asked_for_by_name_says_why_it_refuses():
  call = Attend(mask=Full(), scale=1.0, dropout=0.1, aligned=True)
  shape = (B, T, N, H)
  with pytest.raises(ValueError, match="'rows' cannot.*dropout is computed by einsum"):
    choose("rows", call, shape, shape, bias=None)
  with pytest.raises(ValueError, match="'row' is unknown; known: auto, einsum, rows"):
    choose("row", call, shape, shape, bias=None)


def test_auto_gives_the_reasons_for_what_it_did_not_take():
  call = Attend(mask=Full(), scale=1.0, dropout=0.1, aligned=True)
  name, refused = choose("auto", call, (B, T, N, H), (B, T, K, H), bias=None)
  assert name == "einsum"
  assert "dropout" in refused["rows"]


def test_soft_capped_scores_lie_within_their_bound():
  """cap * tanh(scores / cap) before masking (Gemma 2, arXiv:2408.00118, section 2)."""
  q = np.random.default_rng(3).standard_normal((1, 4, 1, H), np.float32) * 9
  index = jnp.arange(4)[None]
  call = Attend(mask=Causal(), scale=1.0, aligned=True, softcap=5.0)
  ours = attend(call, q, q, q, sight=Sight(query_BT=index, key_BS=index))
  scores = 5 * np.tanh(q[0, :, 0] @ q[0, :, 0].T / 5)
  scores[np.triu_indices(4, 1)] = -np.inf
  weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
  np.testing.assert_allclose(ours[0, :, 0], weights @ q[0, :, 0], rtol=1e-5, atol=1e-5)
  reasons = choose("auto", call, q.shape, q.shape, bias=None)[1]
  assert "soft-capped" in str(reasons)


@pytest.mark.parametrize(
  "mask", [Causal(), Strided(stride=48), FixedBlocks(stride=32, summary=4)]
)
def test_blocks_compute_soft_caps_distances_and_sparse_masks(mask):
  """Values and all gradients, also of a bias that is given by distance."""
  x = arrays(False)
  start = ALiBi().build(N)(T, T).by_distance_NW

  def loss(kernel, x, by_distance):
    call = Attend(mask=mask, scale=H**-0.5, aligned=True, softcap=3.0)
    bias = distance_bias(by_distance, T, T)
    out = attend(call, x["q"], x["k"], x["v"], sight=sight(), bias=bias, kernel=kernel)
    return jnp.sum(jnp.sin(out) * jnp.arange(H)), out

  found = {}
  for kernel in ("einsum", "blockwise"):
    run = jax.grad(functools.partial(loss, kernel), (0, 1), has_aux=True)
    found[kernel] = jax.jit(run, compiler_options=FAST_COMPILE)(x, start)
  grads, out = found["einsum"]
  block_grads, block_out = found["blockwise"]
  np.testing.assert_allclose(block_out, out, atol=CLOSE)
  # Sums over 256 pairs (values) and 768 rows of pairs (bias) in another order.
  for ours, theirs in zip(
    jax.tree.leaves(block_grads), jax.tree.leaves(grads), strict=True
  ):
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("biased", [False, True])
def test_memory_of_blocks_is_linear_in_length(biased):
  """Temporary bytes of a gradient when the length doubles: twice, not four times."""

  def temporary(kernel, length):
    def loss(q, by_distance):
      index = jnp.arange(length)[None]
      bias = distance_bias(by_distance, length, length) if biased else None
      call = Attend(mask=Causal(), scale=1.0, aligned=True)
      where = Sight(query_BT=index, key_BS=index)
      return jnp.sum(attend(call, q, q, q, sight=where, bias=bias, kernel=kernel))

    q = jax.ShapeDtypeStruct((1, length, 2, H), jnp.float32)
    distances = jax.ShapeDtypeStruct((2, 2 * length - 1), jnp.float32)
    run = jax.jit(jax.grad(loss, (0, 1)), compiler_options=FAST_COMPILE)
    memory = run.lower(q, distances).compile().memory_analysis()
    return memory.temp_size_in_bytes

  small, large = (temporary("blockwise", length) for length in (2048, 4096))
  assert large < 2.2 * small
  assert temporary("einsum", 4096) > 20 * large


def test_blocks_are_taken_where_all_scores_would_be_too_many():
  call = Attend(mask=Causal(), scale=1.0, aligned=True)
  short, long = (1, 512, 8, 64), (1, 8192, 8, 64)
  assert choose("auto", call, short, short, bias=None)[0] == "rows"
  name, reasons = choose("auto", call, long, long, bias=None)
  assert name == "blockwise" and "2048 MiB" in reasons["rows"]
  odd = (1, 8191, 8, 64)
  assert (
    "8191 has no divisor" in choose("auto", call, odd, odd, bias=None)[1]["blockwise"]
  )
