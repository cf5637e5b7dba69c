"""Parity with transformers of decoders with parallel blocks and those released beside
them: see test_parity.py.

The same rows, full and padded on either side, and the same tolerances.
"""

import functools

import pytest
import test_parity as parity
import transformers

from models.components.param import declarations
from models.families.falcon import falcon, falcon_two_norms
from models.families.gemma import gemma
from models.families.gpt_j import codegen, gpt_j
from models.families.gpt_neox import gpt_neox
from models.families.mistral import mistral
from models.families.nemotron4 import nemotron4
from models.families.qwen import qwen
from t5x_like.interop.formats.index import FORMATS
from t5x_like.interop.names import to_ours

VOCAB = parity.VOCAB
# In files GPT-NeoX's head has another name than in memory.
STORED = {"gpt_neox": {"lm_head.weight": "embed_out.weight"}}


def case(spec, kind, config, **options) -> parity.Case:
  """A case whose weights follow the path table of the class's format."""
  format = next(f for f in FORMATS if f.model_type == config.model_type)
  theirs = functools.partial(_theirs, kind, config, options)
  return parity.Case(spec, theirs, functools.partial(_weights, format))


def _theirs(kind, config, options):
  fixed = dict(vocab_size=VOCAB, attn_implementation="eager", pad_token_id=None)
  return kind(config(**fixed, **options))


def _weights(format, weights, spec):
  renamed = STORED.get(format.model_type, {})
  stored = {renamed.get(name, name): array for name, array in weights.items()}
  return to_ours(format.rows(spec), stored, declarations(spec))


SIZES = dict(dim=64, heads=4, layers=2, vocab=VOCAB)
HIDDEN = dict(hidden_size=64, num_attention_heads=4, num_hidden_layers=2)
GPT_NEOX = (transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig)
GPT_J = dict(n_embd=64, n_head=4, n_layer=2, n_positions=300, rotary_dim=8)
CODEGEN = dict(n_embd=64, n_head=8, n_layer=2, n_positions=300, rotary_dim=4)
FALCON = (transformers.FalconForCausalLM, transformers.FalconConfig)
QWEN2 = (transformers.Qwen2ForCausalLM, transformers.Qwen2Config)
GATED = HIDDEN | dict(intermediate_size=96, num_key_value_heads=4)
CASES = {
  "GPT-NeoX": case(
    gpt_neox(**SIZES),
    *GPT_NEOX,
    **HIDDEN,
    intermediate_size=256,
    hidden_act="gelu_fast",
  ),
  "Pythia, half of a head rotated": case(
    gpt_neox(**SIZES, rotary_dim=8, act="gelu"),
    *GPT_NEOX,
    **HIDDEN,
    intermediate_size=256,
    rotary_pct=0.5,
  ),
  "GPT-J": case(
    gpt_j(**SIZES, rotary_dim=8),
    transformers.GPTJForCausalLM,
    transformers.GPTJConfig,
    **GPT_J,
  ),
  # Two heads in each of the four groups.
  "CodeGen": case(
    codegen(**SIZES | dict(heads=8), rotary_dim=4),
    transformers.CodeGenForCausalLM,
    transformers.CodeGenConfig,
    **CODEGEN,
  ),
  "Falcon, one norm and one key head": case(falcon(**SIZES), *FALCON, **HIDDEN),
  "Falcon, two norms and 2 of 4 key heads": case(
    falcon_two_norms(**SIZES, kv_heads=2, rope_base=500.0),
    *FALCON,
    **HIDDEN,
    new_decoder_architecture=True,
    num_kv_heads=2,
    rope_parameters={"rope_type": "default", "rope_theta": 500.0},
  ),
  # As in Falcon-11B.
  "Falcon, one norm and 2 of 4 key heads": case(
    falcon(**SIZES, kv_heads=2),
    *FALCON,
    **HIDDEN,
    new_decoder_architecture=True,
    num_ln_in_parallel_attn=1,
    num_kv_heads=2,
  ),
  "Nemotron-4, 2 of 4 key heads": case(
    nemotron4(**SIZES, hidden=96, kv_heads=2),
    transformers.NemotronForCausalLM,
    transformers.NemotronConfig,
    **HIDDEN,
    intermediate_size=96,
    num_key_value_heads=2,
    max_position_embeddings=512,
  ),
  "Qwen": case(qwen(**SIZES, hidden=96), *QWEN2, **GATED, rope_theta=1e6),
  "Qwen2, tied, 2 of 4 key heads": case(
    qwen(**SIZES, hidden=96, kv_heads=2, tied=True),
    *QWEN2,
    **GATED | dict(num_key_value_heads=2),
    rope_theta=1e6,
    tie_word_embeddings=True,
  ),
  # The rows are 256 long.
  "Mistral, a window of 20 tokens": case(
    mistral(**SIZES, hidden=96, kv_heads=2, window=20, eps=1e-6),
    transformers.MistralForCausalLM,
    transformers.MistralConfig,
    **GATED | dict(num_key_value_heads=2),
    sliding_window=20,
  ),
  "Gemma, one key head": case(
    gemma(**SIZES, hidden=96, kv_heads=1, head_dim=24),
    transformers.GemmaForCausalLM,
    transformers.GemmaConfig,
    **GATED | dict(num_key_value_heads=1),
    head_dim=24,
  ),
}


@functools.cache
def result(name: str) -> parity.Result:
  """Both models on one batch, once per case."""
  return parity.compared(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_those_of_transformers(name, update_golden):
  parity.check_logits(name, CASES[name], result(name), update_golden)


@pytest.mark.parametrize("name", CASES)
def test_logits_of_a_full_row_equal_those_without_a_mask(name):
  parity.check_unpadded(result(name))


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_those_of_autograd(name, update_golden):
  parity.check_gradients(name, result(name), update_golden)
