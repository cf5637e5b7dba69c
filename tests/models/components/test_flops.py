"""FLOPs against closed forms, written from the shapes and not from the code.

Convention: [m, k] x [k, n] is 2 m k n, causal scores count what the mask lets through,
a training step is three forward passes.
"""

import pytest

from models.components.flops import forward_flops, step_flops
from models.components.model import EncoderDecoder
from models.families.gpt2 import gpt2
from models.families.llama import llama
from models.families.t5 import t5, t5_1_1
from models.zoo import ZOO

BATCH = 8


def causal(tokens: int) -> float:
  """Pairs of query and key, the query itself included, per token."""
  return (tokens + 1) / 2


def test_t5_1_1_with_an_encoder_longer_than_its_decoder():
  E, D, d, inner, f, V, layers = 512, 128, 256, 4 * 64, 1024, 32_128, 4
  project = 2 * d * inner
  encoder = E * (4 * project + 3 * 2 * d * f + 2 * 2 * E * inner)
  self_attention = D * (4 * project + 2 * 2 * causal(D) * inner)
  # Keys and values of the encoder's output are computed once for each of its tokens.
  cross = D * 2 * project + E * 2 * project + 2 * 2 * D * E * inner
  decoder = self_attention + cross + D * 3 * 2 * d * f
  expected = BATCH * (layers * (encoder + decoder) + D * 2 * d * V)
  spec = t5_1_1(dim=d, hidden=f, heads=4, layers=layers, vocab=V)
  lengths = {"encoder": E, "decoder": D}
  assert forward_flops(spec, batch=BATCH, lengths=lengths) == expected
  assert step_flops(spec, batch=BATCH, lengths=lengths) == 3 * expected


def test_t5_1_0_multiplies_its_shared_table_once_and_has_two_kernels_a_layer():
  E, D, d, inner, f, V = 16, 8, 32, 2 * 12, 48, 100
  project = 2 * d * inner
  encoder = E * (4 * project + 2 * 2 * d * f + 2 * 2 * E * inner)
  decoder = D * (6 * project + 2 * 2 * d * f + 2 * 2 * (causal(D) + E) * inner)
  expected = 3 * encoder + 2 * (decoder + E * 2 * project) + D * 2 * d * V
  spec = t5(dim=d, hidden=f, heads=2, head_dim=12, layers=3, decoder_layers=2, vocab=V)
  lengths = {"encoder": E, "decoder": D}
  assert forward_flops(spec, batch=1, lengths=lengths) == expected


def test_llama():
  S, d, inner, f, V, layers = 512, 256, 4 * 64, 688, 32_000, 6
  layer = S * (4 * 2 * d * inner + 3 * 2 * d * f + 2 * 2 * causal(S) * inner)
  expected = BATCH * (layers * layer + S * 2 * d * V)
  spec = llama(dim=d, hidden=f, heads=4, layers=layers, vocab=V)
  assert forward_flops(spec, batch=BATCH, lengths={"decoder": S}) == expected


def test_grouped_queries_save_projections_but_no_scores():
  sizes = dict(dim=64, hidden=96, heads=4, layers=2, vocab=128)
  whole, grouped = (
    forward_flops(llama(kv_heads=k, **sizes), batch=1, lengths={"decoder": 32})
    for k in (4, 1)
  )
  assert whole - grouped == 2 * 32 * 2 * 2 * 64 * (64 - 16)


def test_gpt2_counts_its_tied_head_and_not_its_position_table():
  S, d, V = 32, 64, 128
  layer = S * (4 * 2 * d * d + 2 * 2 * d * 4 * d + 2 * 2 * causal(S) * d)
  spec = gpt2(dim=d, heads=4, layers=3, vocab=V, length=64)
  expected = 3 * layer + S * 2 * d * V
  assert forward_flops(spec, batch=1, lengths={"decoder": S}) == expected


@pytest.mark.parametrize("name", ["t5/11b", "byt5/xxl", "llama3_1/405b", "gpt2/xl"])
def test_a_published_size_is_near_two_flops_a_parameter_and_token(name):
  """Kaplan et al. 2020, arXiv:2001.08361: C = 2 N a token, embeddings and scores apart."""
  row = ZOO[name]
  spec = row.spec()
  lengths = {"encoder": 1, "decoder": 1}
  kernels = row.parameters - spec.vocab * spec.dim * (0 if spec.head.tied else 1)
  ratio = forward_flops(spec, batch=1, lengths=lengths) / (2 * kernels)
  assert isinstance(spec, EncoderDecoder) or 0.99 < ratio < 1.01
  assert 0.98 < ratio < 1.02


def test_a_tied_head_costs_what_its_table_is_wide():
  spec = ZOO["opt/tiny_350m"].spec()
  kernels = 2 * 12 * 32**2 + 2 * 32 * 16  # two layers, and around the table
  scores = 2 * 4 * 32 * 8 * 9 // 2
  found = forward_flops(spec, batch=1, lengths={"decoder": 8})
  assert found == 2 * 8 * (kernels + 512 * 16) + scores
