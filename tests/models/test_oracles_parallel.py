"""Decoders with parallel blocks that no class computes, against their papers' equations.

NumPy in float64, as in test_oracles_mixtures.py, whose pieces are used.
"""

import numpy as np
import pytest
import test_oracles_mixtures as pieces
from scipy.special import softmax

from models.zoo import ZOO

LENGTH, PREFIX = pieces.LENGTH, 7


def scaled_norm(x, scale):
  """LayerNorm without a bias."""
  centred = x - x.mean(-1, keepdims=True)
  return centred / np.sqrt(np.mean(centred**2, -1, keepdims=True) + 1e-5) * scale


def seen(prefix: int) -> np.ndarray:
  """Boolean [T, T]: everything before, and inside the prefix everything."""
  inside = np.arange(LENGTH) < prefix
  return np.tri(LENGTH, dtype=bool) | (inside[:, None] & inside[None, :])


def attended(h, layer, mask):
  """Every head of queries with the one head of keys and values (arXiv:1911.02150)."""
  q, k, v = (pieces.projected(h, layer, name) for name in ("query", "key", "value"))
  q, k, v = pieces.rotate(q), pieces.rotate(k)[:, 0], v[:, 0]
  scores = np.einsum("tnh,sh->nts", q, k) / np.sqrt(k.shape[-1])
  mixed = softmax(np.where(mask, scores, -np.inf), axis=-1)
  return pieces.put_out(np.einsum("nts,sh->tnh", mixed, v), layer)


def palm_logits(spec, params, tokens, mask):
  """arXiv:2204.02311, section 2: y = x + MLP(LayerNorm(x)) + Attention(LayerNorm(x))."""
  table = params["token_embedder/embedding"]
  x = table[tokens]
  for number in range(len(spec.decoder.blocks)):
    layer = pieces.Layer(params, "decoder/blocks_0", number)
    h = scaled_norm(x, layer["attention_norm/scale"])
    gated = pieces.silu(h @ layer["ffn/gate/kernel"]) * (h @ layer["ffn/up/kernel"])
    x = x + gated @ layer["ffn/down/kernel"] + attended(h, layer, mask)
  x = scaled_norm(x, params["decoder/final_norm/scale"])
  return x @ table.T / np.sqrt(spec.dim)


def test_palm_adds_attention_and_feed_forward_of_one_norm():
  spec = ZOO["palm/tiny"].spec()
  params, tokens = pieces.values(spec), pieces.tokens_of(spec)
  expected = palm_logits(spec, params, tokens, seen(0))
  pieces.assert_close(pieces.logits_of(spec, params, tokens), expected)


@pytest.mark.parametrize("prefix", [0, PREFIX])
def test_u_palm_is_palm_whose_prefix_sees_itself(prefix):
  spec = ZOO["u_palm/tiny"].spec()
  params, tokens = pieces.values(spec), pieces.tokens_of(spec)
  inside = np.int32(np.arange(LENGTH) < prefix)[None]
  ours = pieces.logits_of(spec, params, tokens, decoder_causal_attention=inside)
  pieces.assert_close(ours, palm_logits(spec, params, tokens, seen(prefix)))
