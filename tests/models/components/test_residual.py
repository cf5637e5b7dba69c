"""Residual layouts beside their equations, written out with the same parts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.components.attention import Attention, CrossAttention
from models.components.block import Block
from models.components.context import Context, Memory
from models.components.ffn import FFN
from models.components.norm import LayerNorm
from models.components.param import bind, declarations, draw
from models.components.residual import (
  DeepNormBlock,
  ParallelBlock,
  ParallelCrossBlock,
  PostBlock,
  SandwichBlock,
  TwoNormParallelBlock,
)

B, T, D = 2, 5, 8
CTX = Context(
  segments_BT=jnp.ones((B, T), jnp.int32),
  positions_BT=jnp.broadcast_to(jnp.arange(T), (B, T)),
)
PARTS = dict(
  norm=LayerNorm(),
  attention=Attention(heads=2, head_dim=4, bias=True),
  ffn=FFN(hidden=16, bias=True),
)


def layer(spec):
  """The block with weights that differ in every norm."""
  module = spec.build(D)
  params = draw(declarations(module), seed=0)
  params = jax.tree.map(
    lambda p: p + 0.3 * jax.random.normal(jax.random.key(p.size), p.shape), params
  )
  for number, name in enumerate(sorted(params)):
    if name.endswith("norm"):
      params[name] = jax.tree.map(lambda p, n=number: p * (1 + 0.1 * n), params[name])
  return bind(module, params)


def equation(name, m, x):
  """y of the papers' formulae; a is attention, f the feed-forward."""
  a, f = lambda h: m.attention(h, CTX)[0], lambda h: m.ffn(h, CTX)
  if name == "post":
    x = m.attention_norm(x + a(x))
    return m.ffn_norm(x + f(x))
  if name == "deep":
    x = m.attention_norm(3.0 * x + a(x))
    return m.ffn_norm(3.0 * x + f(x))
  if name == "sandwich":
    x = x + m.attention_post_norm(a(m.attention_norm(x)))
    return x + m.ffn_post_norm(f(m.ffn_norm(x)))
  if name == "parallel":
    return x + a(m.attention_norm(x)) + f(m.attention_norm(x))
  return x + a(m.attention_norm(x)) + f(m.ffn_norm(x))


BLOCKS = {
  "post": PostBlock(**PARTS),
  "deep": DeepNormBlock(alpha=3.0, **PARTS),
  "sandwich": SandwichBlock(**PARTS),
  "parallel": ParallelBlock(**PARTS),
  "two norms": TwoNormParallelBlock(**PARTS),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_computes_its_equation(name):
  x = jnp.asarray(np.random.default_rng(1).standard_normal((B, T, D), np.float32))
  module = layer(BLOCKS[name])
  y, _, aux = module(x, CTX)
  # The same operations in the same order, compiled apart: rounding alone.
  np.testing.assert_allclose(y, equation(name, module, x), rtol=1e-5, atol=1e-5)
  assert aux == {}


@pytest.mark.parametrize("name", BLOCKS)
def test_norms_of_a_layout(name):
  """How many vectors of a norm the layout has; `Block` has two."""
  scales = [p for p in declarations(BLOCKS[name].build(D)) if p.endswith("norm/scale")]
  assert len(scales) == {"sandwich": 4, "parallel": 1}.get(name, 2)


def test_post_norm_serves_cross_attention():
  cross = CrossAttention(heads=2, head_dim=4)
  block = PostBlock(**PARTS | dict(cross=cross))
  assert "cross_norm/scale" in declarations(block.build(D))


def test_cross_attention_follows_a_parallel_block():
  cross = CrossAttention(heads=2, head_dim=4)
  module = layer(ParallelCrossBlock(**PARTS | dict(cross=cross)))
  x, memory = np.random.default_rng(1).standard_normal((2, B, T, D), np.float32)
  ctx = dataclasses.replace(
    CTX,
    memory=Memory(output_BSD=jnp.asarray(memory), segments_BS=jnp.ones((B, T), "i4")),
  )
  h = module.attention_norm(x)
  y = x + module.attention(h, ctx)[0] + module.ffn(h, ctx)
  expected = y + module.cross(module.cross_norm(y), ctx)[0]
  np.testing.assert_allclose(module(x, ctx)[0], expected, rtol=1e-5, atol=1e-5)
  with pytest.raises(ValueError, match="ParallelCrossBlock needs cross"):
    ParallelCrossBlock(**PARTS)


def test_a_parallel_block_refuses_cross_attention():
  with pytest.raises(ValueError, match=r"ParallelBlock.cross is not defined"):
    ParallelBlock(**PARTS | dict(cross=CrossAttention(heads=2, head_dim=4)))


def test_every_layout_is_a_block():
  """So that swaps, budgets and imports that look for blocks find them."""
  for block in BLOCKS.values():
    assert isinstance(block, Block)
    assert {f.name for f in dataclasses.fields(Block)} <= {
      f.name for f in dataclasses.fields(block)
    }
