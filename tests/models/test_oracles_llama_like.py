"""Decoders of LLaMA's order that no class computes, against their equations.

NumPy in float64, as in test_oracles_mixtures.py, whose pieces are used.
"""

import numpy as np
import test_oracles_mixtures as pieces
from scipy.special import softmax

from models.zoo import ZOO


def rms_norm_1p(x, stored):
  """Gemma stores its factor minus one."""
  return pieces.rms_norm(x, 1 + stored, 1e-6)


def gelu_tanh(x):
  return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def two_experts(h, layer):
  """Token by token: a softmax over the scores of the two best."""
  out = np.zeros_like(h)
  for t, one in enumerate(h):
    scores = one @ layer["ffn/router/gate/kernel"]
    best = np.argsort(scores)[-2:]
    for e, weight in zip(best, softmax(scores[best]), strict=True):
      gate, up, down = (
        layer[f"ffn/experts/{name}/kernel"][e] for name in ("gate", "up", "down")
      )
      out[t] += weight * ((gelu_tanh(one @ gate) * (one @ up)) @ down)
  return out


def test_gemini_1_5_is_one_head_of_keys_and_two_of_four_experts():
  spec = ZOO["gemini1_5/tiny"].spec()
  params, tokens = pieces.values(spec), pieces.tokens_of(spec)
  table = params["token_embedder/embedding"]
  x = table[tokens] * 32**0.5
  for number in range(2):
    layer = pieces.Layer(params, "decoder/blocks_0", number)
    h = rms_norm_1p(x, layer["attention_norm/scale"])
    q, k, v = (pieces.projected(h, layer, name) for name in ("query", "key", "value"))
    assert (q.shape[1], k.shape[1]) == (4, 1)
    mixed = pieces.mixed(pieces.rotate(q), pieces.rotate(k), v, 16**-0.5)
    x = x + pieces.put_out(mixed, layer)
    x = x + two_experts(rms_norm_1p(x, layer["ffn_norm/scale"]), layer)
  x = rms_norm_1p(x, params["decoder/final_norm/scale"])
  pieces.assert_close(pieces.logits_of(spec, params, tokens), x @ table.T)
