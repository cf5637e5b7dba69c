"""Sub-LN beside its equations in torch, as a swap, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from models.components.attention import Attention, CrossAttention
from models.components.block import Block
from models.components.context import Context
from models.components.ffn import FFN, GatedFFN
from models.components.moe import MoE
from models.components.norm import LayerNorm
from models.components.param import bind, declarations, draw, flatten
from models.components.residual import PostBlock
from models.components.routers import TopK
from models.components.spec import Swap
from models.components.sub_norm import SubNorm, SubNormBlock

B, T, D, HEADS, HIDDEN = 2, 5, 8, 2, 16
CTX = Context(
  segments_BT=jnp.ones((B, T), jnp.int32),
  positions_BT=jnp.broadcast_to(jnp.arange(T), (B, T)),
)
PARTS = dict(norm=LayerNorm(), attention=Attention(heads=HEADS, head_dim=4, bias=True))
BLOCK = Block(ffn=FFN(hidden=HIDDEN, act="gelu", bias=True), **PARTS)


def magneto(p, x):
  """Section 2.1 in torch: LN(x) W, attention, LN, W; LN(x) W, gelu, LN, W."""
  f = torch.nn.functional

  def norm(h, name):
    return f.layer_norm(h, h.shape[-1:], p[f"{name}/scale"], p[f"{name}/bias"])

  def dense(h, name):
    bias = p[f"{name}/bias"].reshape(-1)
    return h @ p[f"{name}/kernel"].reshape(h.shape[-1], -1) + bias

  h = norm(x, "attention_norm")
  q, k, v = (
    dense(h, f"attention/{name}").reshape(B, T, HEADS, -1).transpose(1, 2)
    for name in ("query", "key", "value")
  )
  y = f.scaled_dot_product_attention(q, k, v, is_causal=True)
  y = norm(y.transpose(1, 2).reshape(B, T, -1), "attention/out/norm")
  x = x + dense(y, "attention/out")
  y = f.gelu(dense(norm(x, "ffn_norm"), "ffn/up"))
  return x + dense(norm(y, "ffn/down/norm"), "ffn/down")


def test_a_block_is_that_of_magneto():
  module = SubNorm().instead_of(BLOCK).build(D)
  params = jax.tree.map(
    lambda p: p + 0.3 * jax.random.normal(jax.random.key(p.size), p.shape),
    draw(declarations(module), seed=0),
  )
  x = np.random.default_rng(1).standard_normal((B, T, D), np.float32)
  y, _, _ = bind(module, params)(jnp.asarray(x), CTX)
  theirs = {path: torch.tensor(np.asarray(p)) for path, p in flatten(params).items()}
  # float32 on both sides, summed in other orders.
  expected = magneto(theirs, torch.tensor(x)).numpy()
  np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_a_swap_keeps_what_there_was_and_adds_two_norms():
  ffn, cross = GatedFFN(hidden=HIDDEN), CrossAttention(heads=HEADS, head_dim=4)
  block = Block(ffn=ffn, cross=cross, **PARTS)
  new = Swap(old="Block", new=SubNorm())(block)
  assert new == SubNormBlock(ffn=ffn, cross=cross, **PARTS)
  old, declared = (declarations(one.build(D)) for one in (block, new))
  assert old.items() <= declared.items()
  assert {
    (path, d.shape, d.axes) for path, d in declared.items() if path not in old
  } == {
    (f"{part}/norm/{name}", (width,), (axis,))
    for part, width, axis in (("attention/out", 8, "heads"), ("ffn/down", 16, "mlp"))
    for name in ("scale", "bias")
  }


def test_it_stands_for_a_plain_block_alone():
  post = PostBlock(ffn=FFN(hidden=HIDDEN), **PARTS)
  with pytest.raises(ValueError, match="SubNorm stands for PostBlock, .* Block alone"):
    Swap(old="PostBlock", new=SubNorm())(post)


def test_a_mixture_has_no_one_last_kernel():
  mixture = MoE(experts=2, expert=FFN(hidden=HIDDEN), router=TopK(k=1))
  with pytest.raises(ValueError, match="SubNormBlock.ffn=MoE.* Use FFN or GatedFFN"):
    SubNormBlock(ffn=mixture, **PARTS).build(D)
