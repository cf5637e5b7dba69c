"""Normalization against numbers worked by hand and PyTorch's layers."""

import jax.numpy as jnp
import numpy as np
import torch
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.nemotron.modeling_nemotron import NemotronLayerNorm1P

from models.components.norm import (
  LayerNorm,
  LayerNorm1P,
  PlainLayerNorm,
  RMSNorm,
  RMSNorm1P,
)
from models.components.param import bind

X = np.random.default_rng(0).standard_normal((3, 5, 8), np.float32) * 4 + 1


def layer(spec, dim, **params):
  return bind(spec.build(dim), {k: jnp.asarray(v) for k, v in params.items()})


def test_rms_norm_of_three_and_four():
  """x / sqrt(12.5 + 1e-6), the worked example of T5's layer norm."""
  y = layer(RMSNorm(eps=1e-6), 2, scale=np.ones(2))(jnp.array([3.0, 4.0]))
  np.testing.assert_allclose(y, [0.8485281, 1.1313708], rtol=1e-6)


def test_rms_norm_equals_pytorch():
  scale = np.linspace(0.5, 2, 8, dtype=np.float32)
  theirs = torch.nn.functional.rms_norm(
    torch.tensor(X), (8,), torch.tensor(scale), eps=1e-5
  )
  ours = layer(RMSNorm(eps=1e-5), 8, scale=scale)(X)
  np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)


def test_layer_norm_equals_pytorch():
  scale, bias = np.linspace(0.5, 2, 8), np.linspace(-1, 1, 8)
  scale, bias = scale.astype(np.float32), bias.astype(np.float32)
  theirs = torch.nn.functional.layer_norm(
    torch.tensor(X), (8,), torch.tensor(scale), torch.tensor(bias), eps=1e-5
  )
  ours = layer(LayerNorm(), 8, scale=scale, bias=bias)(X)
  np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)


def test_statistics_of_half_precision_are_float32():
  """In bfloat16 the squares of these would sum to a number without a fraction."""
  x = jnp.asarray(X * 100, jnp.bfloat16)
  norm = layer(RMSNorm(), 8, scale=np.ones(8, np.float32))
  y = norm(x)
  assert y.dtype == jnp.bfloat16
  exact = norm(x.astype(jnp.float32))
  # One rounding of the result to eight bits is all that may be lost.
  np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8)


def test_norms_that_store_their_factor_minus_one_equal_those_of_transformers():
  scale, bias = np.linspace(-0.5, 0.5, 8), np.linspace(-1, 1, 8)
  scale, bias = scale.astype(np.float32), bias.astype(np.float32)
  gemma, nemotron = GemmaRMSNorm(8, eps=1e-6), NemotronLayerNorm1P(8, eps=1e-5)
  gemma.load_state_dict({"weight": torch.tensor(scale)})
  nemotron.load_state_dict({"weight": torch.tensor(scale), "bias": torch.tensor(bias)})
  with torch.no_grad():
    theirs = gemma(torch.tensor(X)).numpy(), nemotron(torch.tensor(X)).numpy()
  ours = layer(RMSNorm1P(), 8, scale=scale)(X)
  np.testing.assert_allclose(ours, theirs[0], rtol=1e-5, atol=1e-6)
  ours = layer(LayerNorm1P(), 8, scale=scale, bias=bias)(X)
  np.testing.assert_allclose(ours, theirs[1], rtol=1e-5, atol=1e-6)


def test_a_plain_layer_norm_learns_nothing():
  theirs = torch.nn.functional.layer_norm(torch.tensor(X), (8,), eps=1e-5)
  ours = PlainLayerNorm().build(8)(X)
  np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)
