"""Segments of a row against segments one after another, with and without gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.components.context import Context
from models.components.mask import Causal, SegmentMemory
from models.components.param import bind, declarations, nested
from models.components.relative_attention import RelativeAttention
from models.components.segment_attention import SegmentAttention
from models.components.spec import replace

DIM, ROWS, TOKENS = 12, 2, 12
SIZES = dict(heads=2, head_dim=6)
CLOSE = 2e-6  # float32 rounding of sums of some tens of terms of order one
FAST_COMPILE = {"xla_backend_optimization_level": 0}


def segmented(segment: int, memory: int) -> SegmentAttention:
  return SegmentAttention(mask=SegmentMemory(segment=segment, memory=memory), **SIZES)


def parameters() -> list[dict]:
  """Of two layers."""
  rng = np.random.default_rng(0)
  declared = declarations(RelativeAttention(**SIZES).build(DIM))
  return [
    {k: 0.4 * rng.standard_normal(d.shape, np.float32) for k, d in declared.items()}
    for _ in range(2)
  ]


def inputs() -> np.ndarray:
  return np.random.default_rng(1).standard_normal((ROWS, TOKENS, DIM), np.float32)


def context(tokens: int = TOKENS, segments=None) -> Context:
  ones = np.ones((ROWS, tokens), np.int32)
  return Context(segments_BT=ones if segments is None else segments, positions_BT=ones)


def layer(spec, values, x, ctx):
  return bind(spec.build(DIM), nested(values))(x, ctx)[0]


def two_layers(spec, values, x, ctx):
  for one in values:
    x = x + layer(spec, one, x, ctx)
  return x


def one_after_another(values, x, length: int, memory: int):
  """The paper's loop: each layer keeps its inputs, without a gradient, for the next."""
  plain, kept, out = RelativeAttention(**SIZES), [None] * len(values), []
  for start in range(0, TOKENS, length):
    h = x[:, start : start + length]
    for number, one in enumerate(values):
      old = kept[number]
      kept[number] = jax.lax.stop_gradient(
        h if old is None else jnp.concatenate([old, h], axis=1)
      )[:, -memory:]
      seen = h if old is None else jnp.concatenate([old, h], axis=1)
      y = layer(plain, one, seen, context(seen.shape[1]))
      h = h + y[:, -length:]
    out.append(h)
  return jnp.concatenate(out, axis=1)


@pytest.mark.parametrize("length, memory", [(4, 4), (3, 6), (6, 2)])
def test_rows_of_segments_are_segments_one_after_another(length, memory):
  """Values and gradients, of two layers: what a layer keeps is what it was given."""

  def loss(values, x, way):
    if way == "rows":
      y = two_layers(segmented(length, memory), values, x, context())
    else:
      y = one_after_another(values, x, length, memory)
    return (y**2).mean(), y

  results = {}
  for way in ("rows", "loop"):
    graded = jax.value_and_grad(
      lambda v, x, way=way: loss(v, x, way), argnums=(0, 1), has_aux=True
    )
    run = jax.jit(graded, compiler_options=FAST_COMPILE)
    results[way] = run(parameters(), inputs())
  (_, y), grads = results["rows"]
  (_, expected), expected_grads = results["loop"]
  np.testing.assert_allclose(y, expected, atol=10 * CLOSE)
  for one, other in zip(
    jax.tree.leaves(grads), jax.tree.leaves(expected_grads), strict=True
  ):
    np.testing.assert_allclose(one, other, atol=10 * CLOSE)


@pytest.mark.parametrize("length, memory", [(4, 5), (12, 3), (3, 30)])
def test_windows_see_what_the_mask_says(length, memory):
  """The mask is what decoding and FLOPs go by."""
  spec = segmented(length, memory)
  x, values = inputs(), parameters()[0]
  segments = np.tile(np.int32([1] * 5 + [2] * 5 + [0] * 2), (ROWS, 1))
  for ctx in (context(), context(segments=segments)):
    masked = RelativeAttention(mask=spec.mask, **SIZES)
    np.testing.assert_allclose(
      layer(spec, values, x, ctx), layer(masked, values, x, ctx), atol=CLOSE
    )


def test_a_memory_of_the_whole_past_is_plain_relative_attention():
  plain = layer(RelativeAttention(**SIZES), parameters()[0], inputs(), context())
  whole = layer(segmented(4, 8), parameters()[0], inputs(), context())
  np.testing.assert_allclose(whole, plain, atol=CLOSE)


def test_no_gradient_flows_into_the_memory():
  def later(x):
    return (layer(segmented(4, 4), parameters()[0], x, context())[:, 8:] ** 2).sum()

  grad = jax.jit(jax.grad(later), compiler_options=FAST_COMPILE)(inputs())
  assert np.abs(grad[:, 8:]).min() > 0
  np.testing.assert_array_equal(grad[:, :8], 0)


@pytest.mark.parametrize("length, memory", [(4, 0), (4, 5), (5, 3)])
def test_what_is_seen_on_average_is_what_is_visible(length, memory):
  mask = SegmentMemory(segment=length, memory=memory)
  at = np.arange(TOKENS)
  start = at // length * length
  visible = (at[None] <= at[:, None]) & (at[None] >= (start - memory)[:, None])
  assert mask.seen(TOKENS) == visible.sum() / TOKENS
  assert mask.seen(TOKENS) <= Causal().seen(TOKENS)


def test_a_row_that_is_cut_in_a_segment_is_an_error():
  with pytest.raises(ValueError, match="not made of whole segments of 5"):
    layer(segmented(5, 5), parameters()[0], inputs(), context())


def test_a_longer_memory_keeps_the_parameters():
  spec = segmented(4, 4)
  longer = replace(spec, mask=replace(spec.mask, memory=8))
  assert declarations(spec.build(DIM)).keys() == declarations(longer.build(DIM)).keys()
