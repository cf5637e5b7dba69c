"""Relative attention against XLNet's, against the paper's sum, and with a memory.

XLNet keeps sines before cosines, we in turn: the rows of its W_R are reordered.
"""

import numpy as np
import pytest
import torch
import transformers
from transformers.models.xlnet.modeling_xlnet import XLNetModel, XLNetRelativeAttention

from models.components.context import Context
from models.components.mask import Full, Windowed
from models.components.param import bind, declarations, nested
from models.components.relative_attention import RelativeAttention, relative_shift

DIM, HEADS, WIDTH, ROWS, TOKENS = 24, 2, 8, 2, 7
SPEC = RelativeAttention(heads=HEADS, head_dim=WIDTH)
CLOSE = 2e-6  # float32 rounding of sums of some tens of terms of order one


def parameters(spec=SPEC) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  declared = declarations(spec.build(DIM))
  return {
    k: 0.3 * rng.standard_normal(d.shape, np.float32) for k, d in declared.items()
  }


def inputs() -> np.ndarray:
  return np.random.default_rng(1).standard_normal((ROWS, TOKENS, DIM), np.float32)


def context(**fields) -> Context:
  ones = np.ones((ROWS, TOKENS), np.int32)
  rows = np.tile(np.arange(TOKENS, dtype=np.int32), (ROWS, 1))
  return Context(**dict(segments_BT=ones, positions_BT=rows) | fields)


def ours(spec=SPEC, x=None, ctx=None, cache=None):
  layer = bind(spec.build(DIM), nested(parameters(spec)))
  x = inputs() if x is None else x
  return layer(x, ctx or context(), cache)


def test_output_is_that_of_xlnets_relative_attention():
  config = transformers.XLNetConfig(d_model=DIM, n_head=2, vocab_size=9, dropout=0.0)
  config.n_head, config.d_head = HEADS, WIDTH
  theirs = XLNetRelativeAttention(config).eval()
  theirs.layer_norm = torch.nn.Identity()
  values = parameters()
  in_turn = np.arange(DIM).reshape(-1, 2).T.reshape(-1)  # their row -> ours
  renamed = {
    "q": values["query/kernel"],
    "k": values["key/kernel"],
    "v": values["value/kernel"],
    "o": np.moveaxis(values["out/kernel"], -1, 0),
    "r": values["relative/kernel"][in_turn],
    "r_w_bias": values["content_bias"],
    "r_r_bias": values["distance_bias"],
  }
  with torch.no_grad():
    for name, value in renamed.items():
      getattr(theirs, name).set_(torch.from_numpy(np.ascontiguousarray(value)))
    h = torch.from_numpy(inputs()).transpose(0, 1)
    frequency = 1 / 10_000 ** (torch.arange(0, DIM, 2.0) / DIM)
    distances = torch.arange(TOKENS, -TOKENS, -1.0)
    r = XLNetModel.positional_embedding(distances, frequency, ROWS)
    ahead = torch.triu(torch.ones(TOKENS, TOKENS), 1)[:, :, None, None]
    ahead = ahead.expand(-1, -1, ROWS, 1)
    attended = theirs(h, None, ahead, None, r, None)[0] - h
  np.testing.assert_allclose(
    ours()[0], attended.transpose(0, 1).numpy(), atol=10 * CLOSE
  )


def test_output_is_the_papers_sum_over_visible_keys():
  """A window of three, written out position by position in float64."""
  spec = RelativeAttention(heads=HEADS, head_dim=WIDTH, mask=Windowed(window=3))
  p = {name: np.float64(value) for name, value in parameters(spec).items()}
  x = np.float64(inputs())
  y = np.zeros((ROWS, TOKENS, DIM))
  frequency = 10_000 ** -(np.arange(0, DIM, 2) / DIM)
  for b, i, n in np.ndindex(ROWS, TOKENS, HEADS):
    q = x[b, i] @ p["query/kernel"][:, n]
    keys = range(max(0, i - 2), i + 1)
    scores = []
    for j in keys:
      angle = (i - j) * frequency
      R = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(-1)
      k = x[b, j] @ p["key/kernel"][:, n]
      r = R @ p["relative/kernel"][:, n]
      content, distance = q + p["content_bias"][n], q + p["distance_bias"][n]
      scores.append((content @ k + distance @ r) / np.sqrt(WIDTH))
    weights = np.exp(scores) / np.exp(scores).sum()
    for j, weight in zip(keys, weights, strict=True):
      y[b, i] += weight * (x[b, j] @ p["value/kernel"][:, n]) @ p["out/kernel"][n]
  np.testing.assert_allclose(ours(spec)[0], y, atol=10 * CLOSE)


def test_segments_with_the_past_in_the_cache_equal_the_whole_sequence():
  """Transformer-XL's recurrence with a memory as long as the past (section 3.2)."""
  whole, x = ours()[0], inputs()
  cache = {
    name: np.zeros((ROWS, TOKENS, HEADS, WIDTH), np.float32)
    for name in ("key", "value")
  }
  for start, end in ((0, 3), (3, 5), (5, 7)):
    piece = np.ones((ROWS, end - start), np.int32)
    at = np.full(ROWS, start, np.int32)
    ctx = context(segments_BT=piece, positions_BT=piece, index_B=at)
    y, cache = ours(x=x[:, start:end], ctx=ctx, cache=cache)
    np.testing.assert_allclose(y, whole[:, start:end], atol=CLOSE)


@pytest.mark.parametrize("queries, keys", [(1, 1), (4, 4), (2, 5)])
def test_the_shift_moves_distances_to_their_keys(queries, keys):
  by_distance = np.broadcast_to(np.arange(keys - 1, -1, -1), (3, queries, keys))
  shifted = np.asarray(relative_shift(by_distance))
  query = np.arange(keys - queries, keys)[:, None]
  back = query - np.arange(keys)
  np.testing.assert_array_equal(shifted[:, back >= 0], [back[back >= 0]] * 3)


def test_what_the_scores_cannot_have_is_an_error():
  with pytest.raises(ValueError, match="is not causal"):
    ours(RelativeAttention(heads=2, head_dim=8, mask=Full()))
  with pytest.raises(ValueError, match="softcap must be None"):
    RelativeAttention(heads=2, head_dim=8, softcap=30.0)
