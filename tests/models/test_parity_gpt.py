"""Parity of decoders in the line of GPT with transformers: see test_parity.py.

The same rows, full and padded on either side, and the same tolerances.
"""

import functools

import hf_weights
import numpy as np
import pytest
import test_parity as parity
import torch
import transformers

from models.components.param import declarations
from models.families.bloom import bloom
from models.families.galactica import galactica
from models.families.gpt import gpt
from models.families.gpt3 import gpt3
from models.families.gpt_bigcode import gpt_bigcode
from models.families.gpt_neo import gpt_neo
from models.families.mpt import mpt
from models.families.olmo import olmo
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
GPT2_SIZES = dict(n_embd=32, n_head=4, n_layer=2, n_positions=300)
CASES = {
  "OLMo": case(
    "olmo",
    olmo(hidden=48, **SIZES),
    transformers.OlmoForCausalLM,
    transformers.OlmoConfig,
    hidden_size=32,
    intermediate_size=48,
    num_attention_heads=4,
    num_hidden_layers=2,
    pad_token_id=0,
    eos_token_id=None,
  ),
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
  "MPT": case(
    "mpt",
    mpt(**SIZES),
    transformers.MptForCausalLM,
    transformers.MptConfig,
    d_model=32,
    n_heads=4,
    n_layers=2,
    max_seq_len=300,
  ),
  "GPT": case(
    "openai-gpt",
    gpt(**SIZES, length=300),
    transformers.OpenAIGPTLMHeadModel,
    transformers.OpenAIGPTConfig,
    **GPT2_SIZES,
  ),
  "StarCoder": case(
    "gpt_bigcode",
    gpt_bigcode(**SIZES, length=300),
    transformers.GPTBigCodeForCausalLM,
    transformers.GPTBigCodeConfig,
    **GPT2_SIZES,
  ),
  "GPT-Neo": case(
    "gpt_neo",
    gpt_neo(**SIZES | dict(layers=4), window=20, length=300),
    transformers.GPTNeoForCausalLM,
    transformers.GPTNeoConfig,
    hidden_size=32,
    num_heads=4,
    num_layers=4,
    attention_types=[[["global", "local"], 2]],
    window_size=20,
    max_position_embeddings=300,
  ),
}


def hf_banded(config: transformers.GPT2Config, masks: tuple) -> torch.nn.Module:
  """GPT-2 whose layer i sees what `masks[i]`, a boolean [T, T], lets it see besides."""
  model = transformers.GPT2LMHeadModel(config)
  for layer, mask in zip(model.transformer.h, masks, strict=True):
    hook = functools.partial(_masked, mask)
    layer.attn.register_forward_pre_hook(hook, with_kwargs=True)
  return model


def _masked(mask, module, args, kwargs):
  size = kwargs["attention_mask"].shape[-1]
  hidden = torch.from_numpy(np.where(mask[:size, :size], 0.0, -1e30))
  old = kwargs["attention_mask"]
  return args, kwargs | {"attention_mask": torch.clamp(old + hidden.float(), min=-1e30)}


def hf_gpt3(band: int):
  """Bands written as the paper draws them (arXiv:1904.10509, figure 3)."""
  index = np.arange(parity.DECODER)
  near = index[:, None] - index[None, :] < band
  return hf_banded(
    transformers.GPT2Config(
      vocab_size=VOCAB, attn_implementation="eager", **GPT2_SIZES | dict(n_layer=4)
    ),
    2 * (np.ones_like(near), near),
  )


# No class computes these: the reference is GPT-2 with other masks.
MASKED = {
  f"GPT-3, {band} of {parity.DECODER} tokens in a band": parity.Case(
    gpt3(**SIZES | dict(layers=4), band=band, length=300),
    functools.partial(hf_gpt3, band),
    hf_weights.gpt2,
  )
  for band in (20, parity.DECODER)
}
ALL = CASES | MASKED


@functools.cache
def result(name: str) -> parity.Result:
  """Both models on one batch, once per case."""
  return parity.compared(ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_logits_equal_those_of_transformers(name, update_golden):
  parity.check_logits(name, ALL[name], result(name), update_golden)


@pytest.mark.parametrize("name", ALL)
def test_logits_of_a_full_row_equal_those_without_a_mask(name):
  parity.check_unpadded(result(name))


@pytest.mark.parametrize("name", ALL)
def test_gradients_equal_those_of_autograd(name, update_golden):
  parity.check_gradients(name, result(name), update_golden)
