"""config.json of decoders of LLaMA's order as published on the hub: see
test_published.py."""

import pytest

from models.zoo import ZOO
from t5x_like.interop import hf
from t5x_like.interop.formats.index import FORMATS

MISTRAL = {
  "architectures": ["MistralForCausalLM"],
  "bos_token_id": 1,
  "eos_token_id": 2,
  "hidden_act": "silu",
  "hidden_size": 4096,
  "initializer_range": 0.02,
  "intermediate_size": 14336,
  "max_position_embeddings": 32768,
  "model_type": "mistral",
  "num_attention_heads": 32,
  "num_hidden_layers": 32,
  "num_key_value_heads": 8,
  "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0,
  "sliding_window": 4096,
  "tie_word_embeddings": False,
  "torch_dtype": "bfloat16",
  "transformers_version": "4.34.0.dev0",
  "use_cache": True,
  "vocab_size": 32000,
}
QWEN2 = {
  "architectures": ["Qwen2ForCausalLM"],
  "attention_dropout": 0.0,
  "bos_token_id": 151643,
  "eos_token_id": 151643,
  "hidden_act": "silu",
  "initializer_range": 0.02,
  "max_position_embeddings": 131072,
  "model_type": "qwen2",
  "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0,
  "sliding_window": 131072,
  "torch_dtype": "bfloat16",
  "transformers_version": "4.40.1",
  "use_cache": True,
  "use_sliding_window": False,
}
GEMMA = {
  "architectures": ["GemmaForCausalLM"],
  "attention_bias": False,
  "attention_dropout": 0.0,
  "bos_token_id": 2,
  "eos_token_id": 1,
  "head_dim": 256,
  "hidden_act": "gelu",
  "initializer_range": 0.02,
  "max_position_embeddings": 8192,
  "model_type": "gemma",
  "pad_token_id": 0,
  "rms_norm_eps": 1e-06,
  "rope_scaling": None,
  "rope_theta": 10000.0,
  "torch_dtype": "bfloat16",
  "transformers_version": "4.38.0.dev0",
  "use_cache": True,
  "vocab_size": 256000,
}
# Row of the zoo -> config.json
PUBLISHED = {
  "mistral/7b": MISTRAL,
  "qwen2/0_5b": QWEN2
  | {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "max_window_layers": 24,
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
  },
  "qwen2/7b": QWEN2
  | {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "max_window_layers": 28,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
    "vocab_size": 152064,
  },
  "gemma/2b": GEMMA
  | {
    "hidden_size": 2048,
    "intermediate_size": 16384,
    "num_attention_heads": 8,
    "num_hidden_layers": 18,
    "num_key_value_heads": 1,
  },
  "gemma/7b": GEMMA
  | {
    "hidden_activation": None,
    "hidden_size": 3072,
    "intermediate_size": 24576,
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 16,
  },
  # The attributes that a conversion of the released checkpoint writes.
  "nemotron4/340b": {
    "architectures": ["NemotronForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "head_dim": 192,
    "hidden_act": "relu2",
    "hidden_size": 18432,
    "initializer_range": 0.0063,
    "intermediate_size": 73728,
    "max_position_embeddings": 4096,
    "mlp_bias": False,
    "model_type": "nemotron",
    "norm_eps": 1e-05,
    "num_attention_heads": 96,
    "num_hidden_layers": 96,
    "num_key_value_heads": 8,
    "partial_rotary_factor": 0.5,
    "pretraining_tp": 1,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 256000,
  },
}


def made(config: dict):
  return hf.find(config, FORMATS).made(config, set()).spec()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_means_the_row_of_the_zoo(name):
  assert hf.essence(made(PUBLISHED[name])) == hf.essence(ZOO[name].spec())


# Mistral 7B v0.2 has no window, and turns more slowly.
def test_a_mistral_without_a_window_is_a_llama():
  spec = made(MISTRAL | {"rope_theta": 1e6, "sliding_window": None})
  llama = ZOO["llama3/8b"].build(
    dim=4096, hidden=14_336, heads=32, kv_heads=8, layers=32, rope_base=1e6
  )
  assert hf.essence(spec) == hf.essence(llama)


def test_what_the_class_assumes_where_a_mistral_is_silent():
  silent = {"num_key_value_heads", "rope_theta", "sliding_window"}
  assert made({k: v for k, v in MISTRAL.items() if k not in silent}) == made(MISTRAL)


# Written by transformers from 4.52 on; version 5 says the base in `rope_parameters`.
def test_a_later_version_writes_the_same_qwen2():
  later = PUBLISHED["qwen2/7b"] | {
    "dtype": "bfloat16",
    "layer_types": 28 * ["full_attention"],
    "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
    "sliding_window": None,
  }
  assert made(later) == made(PUBLISHED["qwen2/7b"])


@pytest.mark.parametrize(
  "name, values, message",
  [
    ("mistral/7b", {"hidden_act": "gelu"}, "hidden_act='gelu' changes"),
    ("mistral/7b", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "'linear'"),
    ("qwen2/7b", {"use_sliding_window": True}, "sliding_window=True changes"),
    ("qwen2/7b", {"layer_types": 28 * ["sliding_attention"]}, "sliding_attention"),
    ("qwen2/7b", {"rope_scaling": {"type": "yarn", "factor": 4.0}}, "'yarn'"),
    ("gemma/2b", {"hidden_activation": "gelu"}, "hidden_activation='gelu' changes"),
    ("gemma/2b", {"use_bidirectional_attention": True}, "attention=True changes"),
    ("gemma/2b", {"tie_word_embeddings": False}, "embeddings=False changes"),
    ("gemma/7b", {"final_logit_softcapping": 30.0}, "final_logit_softcapping=30.0"),
    ("nemotron4/340b", {"norm_eps": 1e-6}, "norm_eps=1e-06 changes"),
    ("nemotron4/340b", {"mlp_bias": True}, "mlp_bias=True changes"),
  ],
)
def test_what_would_compute_something_else_is_refused(name, values, message):
  with pytest.raises(ValueError, match=message):
    made(PUBLISHED[name] | values)
