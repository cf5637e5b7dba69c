"""Positions: T5's buckets, rotary embeddings and their scaling, learned tables."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.gptj.modeling_gptj import (
  apply_rotary_pos_emb,
  create_sinusoidal_positions,
)
from transformers.models.t5.modeling_t5 import T5Attention

from models.components.param import bind
from models.components.position import (
  Learned,
  Llama3Scaling,
  PairedRope,
  PartialRope,
  RelativeBias,
  Rope,
  Sinusoidal,
  relative_bucket,
)

FAR = 1500


def buckets(distance, **fields) -> list[int]:
  """Buckets of key index minus query index, at most FAR apart."""
  return table(RelativeBias(**fields))[np.asarray(distance) + FAR].tolist()


@functools.cache
def table(spec) -> np.ndarray:
  """Buckets of all distances from -FAR to FAR."""
  distance = jnp.arange(-FAR, FAR + 1)
  return np.asarray(jax.jit(relative_bucket, static_argnums=1)(distance, spec))


def test_one_directional_buckets_widen_with_distance():
  """T5X's table for 32 buckets up to 128."""
  past = [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]
  exact = list(range(16))
  found = buckets([-d for d in exact + past], bidirectional=False)
  assert found == exact + list(range(16, 32))
  just_before = [-(d - 1) for d in past[1:]]
  assert buckets(just_before, bidirectional=False) == list(range(16, 31))


def test_one_directional_buckets_do_not_see_the_future():
  assert set(buckets([0, 1, 5, 500], bidirectional=False)) == {0}


def test_twelve_buckets_up_to_ten():
  """Flaxformer's test configuration."""
  small = dict(buckets=12, max_distance=10)
  past = buckets([0, -1, -2, -3, -5, -7], bidirectional=True, **small)
  assert past == [0, 1, 2, 3, 4, 5]
  future = buckets([1, 2, 3, 5, 7], bidirectional=True, **small)
  assert future == [7, 8, 9, 10, 11]
  one_way = buckets([-d for d in range(11)], bidirectional=False, **small)
  assert one_way == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11]


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("size", [(32, 128), (12, 10), (64, 1000)])
def test_buckets_equal_those_of_transformers(bidirectional, size):
  distance = np.arange(-FAR, FAR + 1)
  theirs = T5Attention._relative_position_bucket(
    torch.tensor(distance), bidirectional, *size
  )
  spec = dict(buckets=size[0], max_distance=size[1], bidirectional=bidirectional)
  assert buckets(distance, **spec) == theirs.tolist()


@pytest.mark.parametrize("queries,keys", [(3, 8), (8, 3)])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_bias_of_a_sequence_is_the_table_at_every_distance(
  queries, keys, bidirectional
):
  spec = RelativeBias(buckets=8, max_distance=6, bidirectional=bidirectional)
  layer, weights = bias_layer(spec)
  distance = np.arange(keys) - np.arange(queries)[:, None]
  bias = jax.jit(lambda: layer(queries, keys).dense_1NTS)()
  expected = weights[:, table(spec)[distance + FAR]]
  np.testing.assert_allclose(bias[0], expected, rtol=1e-6)


def test_bias_while_decoding_is_a_row_of_the_whole():
  spec = RelativeBias(buckets=8, max_distance=6, bidirectional=False)
  layer, _ = bias_layer(spec)
  at = jax.jit(lambda: layer.at(jnp.array([[4], [7]]), 9))()
  whole = np.asarray(jax.jit(lambda: layer(9, 9).dense_1NTS)())[0]
  np.testing.assert_allclose(at[0, :, 0], whole[:, 4], rtol=1e-6)
  np.testing.assert_allclose(at[1, :, 0], whole[:, 7], rtol=1e-6)


def bias_layer(spec):
  """Two heads with random weights, and the weights [heads, buckets]."""
  weights = np.random.default_rng(0).standard_normal((2, spec.buckets), np.float32)
  return bind(spec.build(heads=2), {"embedding": jnp.asarray(weights)}), weights


def test_rotary_scores_depend_on_the_distance_only():
  rng = np.random.default_rng(0)
  q, k = rng.standard_normal((2, 1, 1, 1, 16), np.float32)
  rope = jax.jit(Rope(base=100.0))

  def score(query_position, key_position):
    rotated = [
      rope(x, jnp.array([[p]])) for x, p in ((q, query_position), (k, key_position))
    ]
    return float(jnp.sum(rotated[0] * rotated[1]))

  assert score(5, 2) == pytest.approx(score(105, 102), abs=1e-4)
  assert abs(score(5, 2) - score(6, 2)) > 1e-2
  assert score(3, 3) == pytest.approx(float(np.sum(q * k)), abs=1e-5)


def test_scaled_frequencies_equal_those_of_transformers():
  """LLaMA 3.1's published numbers: every regime is in use at head dim 128."""
  config = LlamaConfig(
    hidden_size=128,
    num_attention_heads=1,
    rope_parameters={
      "rope_type": "llama3",
      "rope_theta": 500_000.0,
      "factor": 8.0,
      "low_freq_factor": 1.0,
      "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192,
    },
  )
  theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
  plain = 500_000.0 ** -(np.arange(64) / 64)
  scaled = Llama3Scaling(factor=8.0)(plain)
  np.testing.assert_allclose(scaled, theirs.numpy(), rtol=1e-5)
  assert scaled[0] == plain[0]
  assert scaled[-1] == pytest.approx(plain[-1] / 8)


def test_a_row_longer_than_the_learned_table_is_an_error():
  table = bind(Learned(length=4).build(2), {"embedding": jnp.zeros((4, 2))})
  with pytest.raises(ValueError, match="5 tokens does not fit Learned.length=4"):
    table(jnp.zeros((1, 5), jnp.int32))


def test_sinusoids_of_the_paper():
  """PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i + 1) = cos of the same."""
  found = Sinusoidal().build(6)(jnp.array([[0, 1, 7]]))[0]
  for row, position in zip(np.asarray(found), (0, 1, 7), strict=True):
    for i in range(3):
      angle = position / 10_000 ** (2 * i / 6)
      assert row[2 * i] == pytest.approx(np.sin(angle), abs=1e-6)
      assert row[2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-6)


def test_a_part_of_each_head_is_turned_in_pairs_as_in_gpt_j():
  x = np.random.default_rng(0).standard_normal((1, 9, 2, 12), np.float32)
  table = create_sinusoidal_positions(9, 8)[None]
  sin, cos = torch.split(table, 4, dim=-1)
  theirs = apply_rotary_pos_emb(torch.tensor(x[..., :8]), sin, cos).numpy()
  ours = PartialRope(dims=8, rope=PairedRope())(jnp.asarray(x), jnp.arange(9)[None])
  np.testing.assert_allclose(ours[..., :8], theirs, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(ours[..., 8:], x[..., 8:])


def test_a_part_wider_than_the_head_is_an_error():
  with pytest.raises(ValueError, match=r"PartialRope.dims=16 .* 12"):
    PartialRope(dims=16)(jnp.zeros((1, 1, 1, 12)), jnp.zeros((1, 1), jnp.int32))


def test_learned_positions_begin_at_the_offset():
  layer = bind(
    Learned(length=5, offset=2).build(1),
    {"embedding": jnp.arange(5.0)[:, None]},
  )
  assert layer(jnp.array([[0, 2]])).ravel().tolist() == [2, 4]
  with pytest.raises(ValueError, match=r"4 tokens .* Learned.length=5 with offset=2"):
    layer(jnp.zeros((1, 4), jnp.int32))
