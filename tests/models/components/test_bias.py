"""ALiBi beside transformers' BLOOM, and while decoding."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor

from models.components.bias import ALiBi


@pytest.mark.parametrize("heads", [1, 8, 12, 20, 112])
def test_slopes_equal_those_of_bloom(heads):
  """Its bias of key j is slope * j: the same as ours but for a shift of every row."""
  ones = torch.ones((1, 3), dtype=torch.int64)
  theirs = build_alibi_tensor(ones, heads, torch.float32).reshape(heads, 3).numpy()
  np.testing.assert_allclose(ALiBi().slopes(heads), theirs[:, 1], rtol=1e-6)


def test_scores_fall_with_distance():
  bias = np.asarray(ALiBi().build(2)(3, 3).dense_1NTS)
  assert ALiBi().slopes(2).tolist() == [2**-4, 2**-8]
  np.testing.assert_array_equal(
    bias[0, 0] * 2**4, [[0, -1, -2], [-1, 0, -1], [-2, -1, 0]]
  )


def test_decoding_sees_the_rows_of_the_whole():
  layer = ALiBi().build(4)
  whole, at = layer(5, 5).dense_1NTS, layer.at(jnp.array([[3, 4], [0, 2]]), 5)
  np.testing.assert_array_equal(at[0], whole[0][:, 3:5])
  np.testing.assert_array_equal(at[1], whole[0][:, jnp.array([0, 2])])
