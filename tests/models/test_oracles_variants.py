"""Encoder-decoders and prefix decoders without a class in transformers.

The Transformer of 2017 beside PyTorch's own layers, GLM-130B's block beside its formula,
and counts that were published in round numbers.
"""

import re

import jax
import numpy as np
import pytest
import test_contract as contract
import test_oracles_mixtures as pieces
import torch
from scipy.special import softmax

from models.components.param import FanAverage, bind, count, declarations
from models.families.codet5_plus import codet5_plus
from models.families.t5 import t5
from models.families.ul2 import ul2
from models.zoo import ZOO
from t5x_like.freeze import Freeze

DIM, HEADS, HIDDEN, VOCAB = 32, 4, 48, 97
LOGITS = 2e-5  # of the largest one: float32 sums in another order


@pytest.mark.parametrize(
  "name, published, within",
  [
    # Table 3: 65 and 213 million. The vocabulary is "about 37000".
    ("transformer/base", 65e6, 0.04),
    ("transformer/big", 213e6, 0.01),
    ("cpm2/11b", 11e9, 0.03),
    ("alphacode/300m", 284e6, 0.01),
    ("alphacode/1b", 1.1e9, 0.04),
    ("alphacode/3b", 2.8e9, 0.02),
    ("alphacode/9b", 8.7e9, 0.01),
    ("alphacode/41b", 41.1e9, 0.01),
    ("alexatm/20b", 19.75e9, 0.002),
    # The released code ties the head, the published number does not say.
    ("glm_130b/130b", 130e9, 0.012),
    # The released models are named after these, rounded.
    ("glm/base", 110e6, 0.01),
    ("glm/large", 335e6, 0.001),
    ("glm/410m", 410e6, 0.001),
    ("glm/515m", 515e6, 0.001),
    ("glm/2b", 2e9, 0.04),
    ("glm/10b", 10e9, 0.012),
  ],
)
def test_counts_are_the_published_ones_as_far_as_those_are_exact(
  name, published, within
):
  assert count(ZOO[name].spec()) == pytest.approx(published, rel=within)


@pytest.mark.parametrize("size", ["2b", "6b", "16b"])
def test_codet5_plus_is_two_codegens_and_what_joins_them(size):
  spec = ZOO[f"codet5_plus/{size}"].spec()
  deep, shallow = ZOO[f"codegen/{size}"].spec(), ZOO["codegen/350m"].spec()
  head = shallow.vocab * shallow.dim + shallow.vocab
  cross = 4 * spec.dim**2 + 2 * spec.dim
  projection = shallow.dim * spec.dim + spec.dim
  assert count(spec) == count(deep) + count(shallow) - head + cross + projection


def test_the_largest_codet5_plus_has_the_published_count():
  """16.03B, 0.36B and cross-attention; the encoder's head, 0.3 %, is not in ours."""
  published = 16.03e9 + 0.36e9 + 4 * 6144**2
  assert count(ZOO["codet5_plus/16b"].spec()) == pytest.approx(published, rel=0.01)


def test_what_codet5_plus_trains_is_the_encoder_and_cross_attention():
  (pattern,) = re.findall(r'pattern="(.*)"', codet5_plus.__doc__)
  paths = declarations(ZOO["codet5_plus/tiny_deep"].spec())
  trained = {path for path in paths if not Freeze(pattern=pattern).matches(path)}
  assert trained == {p for p in paths if p.startswith("encoder") or "/cross" in p}
  assert any("/cross_norm/" in path for path in trained)


@pytest.mark.parametrize(
  "name, published", [("lamda/2b", 2.1e9), ("lamda/8b", 8.6e9), ("lamda/137b", 137e9)]
)
def test_lamda_is_counted_without_its_table(name, published):
  spec = ZOO[name].spec()
  table = declarations(spec)["token_embedder/embedding"].size
  assert count(spec) - table == pytest.approx(published, rel=0.005)


def test_ul2_is_t5_with_another_gate():
  """transformers reads it as T5 with feed_forward_proj = gated-silu."""
  sizes = dict(dim=DIM, heads=HEADS, head_dim=8, layers=2, vocab=VOCAB)
  one, other = ul2(hidden=HIDDEN, **sizes), t5(hidden=HIDDEN, **sizes)
  assert one.encoder.blocks[0].ffn.act == "silu"
  assert one.encoder.position == other.encoder.position and not one.head.tied


def their_attention(theirs, ours):
  """Our kernels [d, n, h] in PyTorch's stacked [3 d, d]; its biases are zero."""
  with torch.no_grad():
    kernels = [ours[name]["kernel"].reshape(DIM, -1).T for name in PARTS]
    theirs.in_proj_weight.copy_(torch.tensor(np.concatenate(kernels)))
    theirs.in_proj_bias.zero_()
    out = ours["out"]["kernel"].reshape(-1, DIM).T
    theirs.out_proj.weight.copy_(torch.tensor(out))
    theirs.out_proj.bias.zero_()


PARTS = ("query", "key", "value")


def their_layer(layer, ours, norms):
  """Copies one layer's weights; `norms`: our names of norm1, norm2, ..."""
  their_attention(layer.self_attn, ours["attention"])
  if "cross" in ours:
    their_attention(layer.multihead_attn, ours["cross"])
  with torch.no_grad():
    for theirs, name in ((layer.linear1, "up"), (layer.linear2, "down")):
      theirs.weight.copy_(torch.tensor(ours["ffn"][name]["kernel"].T))
      theirs.bias.copy_(torch.tensor(ours["ffn"][name]["bias"]))
    for number, name in enumerate(norms, 1):
      theirs = getattr(layer, f"norm{number}")
      theirs.weight.copy_(torch.tensor(ours[name]["scale"]))
      theirs.bias.copy_(torch.tensor(ours[name]["bias"]))
  return layer.eval()


def test_the_transformer_equals_pytorchs_layers():
  spec = ZOO["transformer/tiny"].spec()
  heads, hidden = (
    spec.encoder.blocks[0].attention.heads,
    spec.encoder.blocks[0].ffn.hidden,
  )
  params, data = contract.parameters(spec), contract.batch(spec)
  options = dict(dropout=0.0, batch_first=True, layer_norm_eps=1e-6)
  sizes = (spec.dim, heads, hidden)
  table = torch.tensor(params["token_embedder"]["embedding"])
  angle = np.arange(16)[:, None] / 10_000 ** (np.arange(0, DIM, 2) / DIM)
  wave = np.stack([np.sin(angle), np.cos(angle)], -1).reshape(16, DIM)

  def embedded(side):
    ids = torch.tensor(data[f"{side}_input_tokens"], dtype=torch.int64)
    return table[ids] * DIM**0.5 + torch.tensor(wave, dtype=torch.float32)

  with torch.no_grad():
    x = embedded("encoder")
    for one in range(2):
      ours = jax.tree.map(lambda p, n=one: p[n], params["encoder"]["blocks_0"])
      layer = torch.nn.TransformerEncoderLayer(*sizes, **options)
      x = their_layer(layer, ours, ("attention_norm", "ffn_norm"))(x)
    memory, x = x, embedded("decoder")
    mask = torch.nn.Transformer.generate_square_subsequent_mask(16)
    for one in range(2):
      ours = jax.tree.map(lambda p, n=one: p[n], params["decoder"]["blocks_0"])
      layer = torch.nn.TransformerDecoderLayer(*sizes, **options)
      norms = ("attention_norm", "cross_norm", "ffn_norm")
      x = their_layer(layer, ours, norms)(x, memory, tgt_mask=mask)
    theirs = (x @ table.T).numpy()
  ours = contract.forward(spec)(params, data)
  assert np.abs(ours - theirs).max() <= LOGITS * np.abs(theirs).max()


def test_a_layer_of_glm_130b_is_its_formula():
  """x <- LN(alpha x + f(x)) twice a layer behind a norm of the embedding, in NumPy."""
  spec = ZOO["glm_130b/tiny"].spec()
  params, data = contract.parameters(spec), contract.batch(spec)
  model = bind(contract.module(spec), params)
  ctx = model._context(data, "decoder", contract.Pass())
  alpha = 2.0  # (2 x 2 layers)^(1/2)

  def norm(x, p):
    centered = x - x.mean(-1, keepdims=True)
    std = np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
    return centered / std * p["scale"] + p["bias"]

  x = norm(
    params["token_embedder"]["embedding"][data["decoder_input_tokens"]],
    params["token_embedder"]["norm"],
  )
  block = spec.decoder.blocks[0]
  for number in range(2):
    p = jax.tree.map(lambda leaf, n=number: leaf[n], params["decoder"]["blocks_0"])
    attention = bind(block.attention.build(spec.dim), p["attention"])
    x = norm(alpha * x + np.asarray(attention(x, ctx)[0]), p["attention_norm"])
    f = p["ffn"]
    gate = torch.tensor(x @ f["gate"]["kernel"] + f["gate"]["bias"])
    gate = torch.nn.functional.gelu(gate).numpy()
    y = gate * (x @ f["up"]["kernel"] + f["up"]["bias"])
    x = norm(alpha * x + y @ f["down"]["kernel"] + f["down"]["bias"], p["ffn_norm"])
  theirs = x @ params["token_embedder"]["embedding"].T
  ours = contract.forward(spec)(params, data)
  assert np.abs(ours - theirs).max() <= LOGITS * np.abs(theirs).max()


def test_a_token_of_glm_stands_at_two_positions():
  """Figure 2 of the paper: part A in both directions, two blanks in turn, in NumPy."""
  spec = ZOO["glm/tiny"].spec()
  params, tokens = pieces.values(spec), pieces.tokens_of(spec)
  a, spans = 14, ((9, 6), (4, 4))  # tokens of part A; place of each mask, tokens in it
  positions = np.concatenate([np.arange(a), *(np.full(n, at) for at, n in spans)])
  inside = np.concatenate([np.zeros(a, int), *(np.arange(1, n + 1) for _, n in spans)])
  before = np.int32(np.arange(pieces.LENGTH) < a)
  x = params["token_embedder/embedding"][tokens]
  x = x + params["token_embedder/position/embedding"][positions]
  x = x + params["token_embedder/block/embedding"][inside]
  sees = np.tri(pieces.LENGTH, dtype=bool) | (before[:, None] * before > 0)
  for at in range(2):
    layer = pieces.Layer(params, "decoder/blocks_0", at)
    h = pieces.layer_norm(x, layer, "attention_norm")
    q, k, v = (pieces.projected(h, layer, name) for name in ("query", "key", "value"))
    scores = np.where(sees, np.einsum("tnh,snh->nts", q, k) / 4, -np.inf)
    y = np.einsum("nts,snh->tnh", softmax(scores, axis=-1), v)
    x = x + pieces.put_out(y, layer)
    h = pieces.layer_norm(x, layer, "ffn_norm")
    up = h @ layer["ffn/up/kernel"] + layer["ffn/up/bias"]
    up = up / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (up + 0.044715 * up**3)))
    x = x + up @ layer["ffn/down/kernel"] + layer["ffn/down/bias"]
  final = pieces.Layer({f"x/{k}": v[None] for k, v in params.items()}, "x", 0)
  x = pieces.layer_norm(x, final, "decoder/final_norm")
  rows = {
    "decoder_positions": positions[None],
    "decoder_block_positions": inside[None],
    "decoder_causal_attention": before[None],
  }
  ours = pieces.logits_of(spec, params, tokens, **rows)
  pieces.assert_close(ours, x @ params["token_embedder/embedding"].T)


def test_xavier_normal_counts_both_sides():
  values = FanAverage(gain=0.5, inputs=2)(jax.random.key(0), (20, 30, 1000), np.float32)
  # 600,000 draws: the standard deviation is known to 0.1 %; four of those.
  assert float(values.std()) == pytest.approx(0.5 * (2 / 1600) ** 0.5, rel=0.004)
