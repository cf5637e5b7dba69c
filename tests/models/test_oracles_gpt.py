"""Decoders in the line of GPT that no class computes, against their definitions.

NumPy in float64, as in test_oracles_mixtures.py, whose pieces are used; a prefix mask
against GPT-2 in transformers, which takes a mask as it is given.
"""

import hf_weights
import numpy as np
import pytest
import test_oracles_mixtures as pieces
import test_parity as parity
import torch
import transformers
from scipy.special import softmax

from models.components.mask import Columns, FixedBlocks, Strided, Windowed
from models.components.param import count, declarations
from models.families.grok import grok1
from models.families.sparse_transformer import sparse_transformer
from models.families.yuan import yuan1_prefix
from models.zoo import ZOO

LENGTH = pieces.LENGTH

# Published counts, rounded as they are: (parameters, relative tolerance).
ROUNDED = {
  "gpt3/125m": (125e6, 0.002),
  "gpt3/350m": (356e6, 0.001),
  "gpt3/760m": (760e6, 0.001),
  "gpt3/1_3b": (1.3e9, 0.02),
  "gpt3/2_7b": (2.7e9, 0.02),
  "gpt3/6_7b": (6.7e9, 0.01),
  "gpt3/13b": (13e9, 0.02),
  "gpt3/175b": (175e9, 0.003),
  "jurassic1/large": (7.5e9, 0.001),
  "jurassic1/jumbo": (178e9, 0.001),
  "hyperclova/39b": (39e9, 0.003),
  "hyperclova/82b": (82e9, 0.012),
  "yuan1/13b": (12.91e9, 0.004),
  "yuan1/245b": (245.73e9, 0.0001),
  "mt_nlg/530b": (530e9, 0.001),
  "mpt/30b": (30e9, 0.002),
  "sparse_transformer/enwik8": (95e6, 0.002),
  "sparse_transformer/imagenet64": (152e6, 0.003),
  "grok1/314b": (314e9, 0.006),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_counts_are_the_published_ones_to_their_digits(name):
  published, near = ROUNDED[name]
  assert count(ZOO[name].spec()) == pytest.approx(published, rel=near)


@pytest.mark.parametrize("size", ["85m", "300m", "679m", "2_5b"])
def test_codex_is_named_after_what_is_no_embedding(size):
  named = {"85m": 85e6, "300m": 302e6, "679m": 679e6, "2_5b": 2.5e9}[size]
  declared = declarations(ZOO[f"codex/{size}"].spec())
  layers = sum(d.size for path, d in declared.items() if path.startswith("decoder/"))
  assert layers == pytest.approx(named, rel=0.01)


# Section 4.3 of arXiv:1904.10509: A1 and A2 of either pattern, merged.
def near(i: int, stride: int) -> set[int]:
  return set(range(max(0, i - stride), i + 1))


def column(i: int, stride: int) -> set[int]:
  return {j for j in range(i + 1) if (i - j) % stride == 0}


def strided(i: int, stride: int) -> set[int]:
  return near(i, stride) | column(i, stride)


def fixed(i: int, stride: int, c: int) -> set[int]:
  block = {j for j in range(i + 1) if j // stride == i // stride}
  return block | {j for j in range(i + 1) if j % stride in range(stride - c, stride)}


@pytest.mark.parametrize(
  "masks, sees",
  [
    ([FixedBlocks(stride=4, summary=1)], [lambda i: fixed(i, 4, 1)]),
    ([FixedBlocks(stride=5, summary=2)], [lambda i: fixed(i, 5, 2)]),
    ([Strided(stride=4)], [lambda i: strided(i, 4)]),
    (
      [Windowed(window=5), Columns(stride=4)],
      [lambda i: near(i, 4), lambda i: column(i, 4)],
    ),
  ],
)
def test_a_sparse_transformer_sees_the_sets_of_the_paper(masks, sees):
  spec = sparse_transformer(
    dim=32, heads=4, layers=2, shape=(16, 4), masks=tuple(masks)
  )
  params, tokens = pieces.values(spec), pieces.tokens_of(spec)
  index = np.arange(LENGTH)
  rows, columns = (params[f"token_embedder/position/axis_{n}"] for n in (0, 1))
  x = params["token_embedder/embedding"][tokens]
  x = x + rows[index // 4] + columns[index % 4]
  for at in range(2):
    turns = len(masks) == 2
    run = f"decoder/blocks_{at if turns else 0}"
    layer = pieces.Layer(params, run, 0 if turns else at)
    a = pieces.layer_norm(x, layer, "attention_norm")
    q, k, v = (pieces.projected(a, layer, name) for name in ("query", "key", "value"))
    y = np.zeros_like(q)
    for i in index:
      seen = sorted(sees[at % len(sees)](i))
      weights = softmax(np.einsum("nh,snh->ns", q[i], k[seen]) * 8**-0.5, axis=-1)
      y[i] = np.einsum("ns,snh->nh", weights, v[seen])
    x = x + pieces.put_out(y, layer)
    x = x + pieces.dense_ffn(pieces.layer_norm(x, layer, "ffn_norm"), layer)
  final = pieces.Layer({f"x/{k}": v[None] for k, v in params.items()}, "x", 0)
  x = pieces.layer_norm(x, final, "decoder/final_norm")
  expected = x @ params["head/kernel"]
  pieces.assert_close(pieces.logits_of(spec, params, tokens), expected)


def test_grok_weighs_two_of_all_experts_between_two_norms():
  """The released model.py, line by line."""
  spec = ZOO["grok1/tiny"].spec()
  params, tokens = pieces.values(spec), pieces.tokens_of(spec)
  params["decoder/blocks_0/attention/query/kernel"] *= 10  # so that the bound matters
  table = params["token_embedder/embedding"]
  x = table[tokens] * np.sqrt(32)
  for at in range(2):
    layer = pieces.Layer(params, "decoder/blocks_0", at)

    def norm(x, name, layer=layer):
      return pieces.rms_norm(x, layer[f"{name}/scale"], 1e-5)

    a = norm(x, "attention_norm")
    q, k, v = (pieces.projected(a, layer, name) for name in ("query", "key", "value"))
    y = capped(pieces.rotate(q), pieces.rotate(k), v)
    x = x + norm(pieces.put_out(y, layer), "attention_post_norm")
    x = x + norm(experts(norm(x, "ffn_norm"), layer), "ffn_post_norm")
  x = pieces.rms_norm(x, params["decoder/final_norm/scale"], 1e-5)
  expected = x @ table.T * 0.5773502691896257
  pieces.assert_close(pieces.logits_of(spec, params, tokens), expected)


def capped(q, k, v):
  """Causal attention of groups, scores bounded by 30."""
  k, v = (np.repeat(x, q.shape[1] // x.shape[1], axis=1) for x in (k, v))
  scores = np.einsum("tnh,snh->nts", q, k) * q.shape[-1] ** -0.5
  scores = 30 * np.tanh(scores / 30)
  assert np.abs(scores).max() > 15
  scores = np.where(np.tri(len(q), dtype=bool), scores, -1e30)
  return np.einsum("nts,snh->tnh", softmax(scores, axis=-1), v)


def experts(m, layer):
  """Not divided by the sum of the two weights."""
  out = np.zeros_like(m)
  for t, one in enumerate(m):
    weights = softmax(one @ layer["ffn/router/gate/kernel"])
    for e in np.argsort(weights)[-2:]:
      gate, up, down = (
        layer[f"ffn/experts/{name}/kernel"][e] for name in ("gate", "up", "down")
      )
      out[t] += weights[e] * ((tanh_gelu(one @ gate) * (one @ up)) @ down)
  return out


def tanh_gelu(x):
  return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def test_the_numbers_of_grok_1_are_those_of_its_configuration():
  spec = ZOO["grok1/314b"].spec()
  assert spec.embed.scale == pytest.approx(78.38367176906169, rel=1e-12)
  assert spec.head.scale == pytest.approx(0.5773502691896257, rel=1e-12)
  assert spec == grok1(
    dim=6144, hidden=8 * 6144 * 2 // 3, heads=48, kv_heads=8, layers=64
  )


def test_yuan_with_a_prefix_is_gpt2_with_its_mask():
  spec = yuan1_prefix(dim=32, heads=4, layers=2, length=64, vocab=parity.VOCAB)
  theirs = parity.randomized(
    transformers.GPT2LMHeadModel(
      transformers.GPT2Config(
        vocab_size=parity.VOCAB,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        attn_implementation="eager",
      )
    )
  )
  prefix = np.arange(LENGTH) < 7
  seen = np.tri(LENGTH, dtype=bool) | (prefix[:, None] & prefix[None, :])
  mask = torch.from_numpy(np.where(seen, 0.0, -1e30).astype(np.float32))[None, None]
  tokens = pieces.tokens_of(spec)
  with torch.no_grad():
    rows = torch.from_numpy(tokens[None].astype(np.int64))
    expected = theirs(input_ids=rows, attention_mask=mask).logits[0].numpy()
  named = {name: p.detach().numpy() for name, p in theirs.named_parameters()}
  ours = pieces.logits_of(
    spec,
    hf_weights.gpt2(named, spec),
    tokens,
    decoder_causal_attention=prefix[None].astype(np.int32),
  )
  assert np.abs(ours - expected).max() <= parity.LOGITS * np.abs(expected).max()
