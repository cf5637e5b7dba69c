"""Parity of decoders in the line of GPT with transformers: see test_parity.py.

The same rows, full and padded on either side, and the same tolerances.
"""

import functools

import pytest
import test_parity as parity
import transformers

from models.components.param import declarations
from models.families.bloom import bloom
from models.families.galactica import galactica
from models.families.opt import opt, opt_post_norm
from t5x_like.interop.formats.index import FORMATS
from t5x_like.interop.names import to_ours

VOCAB = parity.VOCAB


def case(model_type: str, spec, kind, config, **options) -> parity.Case:
  """A case whose weights follow the path table of a format."""
  format = next(f for f in FORMATS if f.model_type == model_type)
  theirs = functools.partial(_theirs, kind, config, options)
  return parity.Case(spec, theirs, functools.partial(_weights, format))


def _theirs(kind, config, options):
  fixed = dict(vocab_size=VOCAB, attn_implementation="eager")
  return kind(config(**fixed, **options))


def _weights(format, weights, spec):
  return to_ours(format.rows(spec), weights, declarations(spec))


SIZES = dict(dim=32, heads=4, layers=2, vocab=VOCAB)
OPT = (transformers.OPTForCausalLM, transformers.OPTConfig)
OPT_SIZES = dict(
  hidden_size=32,
  num_attention_heads=4,
  num_hidden_layers=2,
  ffn_dim=128,
  max_position_embeddings=300,
  pad_token_id=0,  # PyTorch gives its row no gradient as an input
)
CASES = {
  # Six heads: slopes of four, and two between them.
  "BLOOM": case(
    "bloom",
    bloom(dim=36, heads=6, layers=2, vocab=VOCAB),
    transformers.BloomForCausalLM,
    transformers.BloomConfig,
    hidden_size=36,
    n_head=6,
    n_layer=2,
  ),
  "OPT": case("opt", opt(**SIZES, length=300), *OPT, **OPT_SIZES),
  "OPT-350M, norms last, narrow table": case(
    "opt",
    opt_post_norm(**SIZES, length=300, width=20),
    *OPT,
    do_layer_norm_before=False,
    word_embed_proj_dim=20,
    **OPT_SIZES,
  ),
  "Galactica": case(
    "opt",
    galactica(**SIZES, length=300),
    *OPT,
    enable_bias=False,
    layer_norm_elementwise_affine=False,
    activation_function="gelu",
    **OPT_SIZES,
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
