"""Parity of decoders in the line of GPT with transformers: see test_parity.py.

The same rows, full and padded on either side, and the same tolerances.
"""

import functools

import pytest
import test_parity as parity
import transformers

from models.components.param import declarations
from models.families.bloom import bloom
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
