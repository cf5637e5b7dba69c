"""config.json of decoders with parallel blocks, and of those released beside them, as
published on the hub: see test_published.py."""

import pytest

from models.families.gpt_j import codegen
from models.families.gpt_neox import gpt_neox
from models.families.llama import llama
from models.families.nemotron4 import nemotron4
from models.zoo import ZOO
from t5x_like.interop import hf
from t5x_like.interop.formats.index import FORMATS

GPT_NEOX = {
  "architectures": ["GPTNeoXForCausalLM"],
  "bos_token_id": 0,
  "eos_token_id": 0,
  "initializer_range": 0.02,
  "layer_norm_eps": 1e-05,
  "max_position_embeddings": 2048,
  "model_type": "gpt_neox",
  "rotary_emb_base": 10000,
  "rotary_pct": 0.25,
  "tie_word_embeddings": False,
  "torch_dtype": "float16",
  "use_cache": True,
}
GPT_J = {
  "activation_function": "gelu_new",
  "attn_pdrop": 0.0,
  "bos_token_id": 50256,
  "embd_pdrop": 0.0,
  "eos_token_id": 50256,
  "gradient_checkpointing": False,
  "initializer_range": 0.02,
  "layer_norm_epsilon": 1e-05,
  "n_inner": None,
  "n_positions": 2048,
  "resid_pdrop": 0.0,
  "scale_attn_weights": True,
  "summary_activation": None,
  "summary_first_dropout": 0.1,
  "summary_proj_to_labels": True,
  "summary_type": "cls_index",
  "summary_use_proj": True,
  "tie_word_embeddings": False,
  "tokenizer_class": "GPT2Tokenizer",
  "use_cache": True,
}
FALCON = {
  "alibi": False,
  "apply_residual_connection_post_layernorm": False,
  "architectures": ["FalconForCausalLM"],
  "attention_dropout": 0.0,
  "bias": False,
  "bos_token_id": 11,
  "eos_token_id": 11,
  "hidden_dropout": 0.0,
  "initializer_range": 0.02,
  "layer_norm_epsilon": 1e-05,
  "model_type": "falcon",
  "multi_query": True,
  "parallel_attn": True,
  "torch_dtype": "bfloat16",
  "use_cache": True,
  "vocab_size": 65024,
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
  "use_cache": True,
  "use_sliding_window": False,
}
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
  "use_cache": True,
  "vocab_size": 32000,
}
GEMMA_2B = {
  "architectures": ["GemmaForCausalLM"],
  "attention_bias": False,
  "attention_dropout": 0.0,
  "bos_token_id": 2,
  "eos_token_id": 1,
  "head_dim": 256,
  "hidden_act": "gelu",
  "hidden_activation": None,
  "hidden_size": 2048,
  "initializer_range": 0.02,
  "intermediate_size": 16384,
  "max_position_embeddings": 8192,
  "model_type": "gemma",
  "num_attention_heads": 8,
  "num_hidden_layers": 18,
  "num_key_value_heads": 1,
  "pad_token_id": 0,
  "rms_norm_eps": 1e-06,
  "rope_scaling": None,
  "rope_theta": 10000.0,
  "torch_dtype": "bfloat16",
  "use_cache": True,
  "vocab_size": 256000,
}
PUBLISHED = {
  "gpt_neox/20b": GPT_NEOX
  | {
    "attention_probs_dropout_prob": 0,
    "hidden_act": "gelu_fast",
    "hidden_dropout_prob": 0,
    "hidden_size": 6144,
    "intermediate_size": 24576,
    "num_attention_heads": 64,
    "num_hidden_layers": 44,
    "vocab_size": 50432,
  },
  "pythia/160m": GPT_NEOX
  | {
    "hidden_act": "gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "use_parallel_residual": True,
    "vocab_size": 50304,
  },
  "gpt_j/6b": GPT_J
  | {
    "architectures": ["GPTJForCausalLM"],
    "model_type": "gptj",
    "n_embd": 4096,
    "n_head": 16,
    "n_layer": 28,
    "rotary": True,
    "rotary_dim": 64,
    "task_specific_params": {"text-generation": {"do_sample": True}},
    "vocab_size": 50400,
  },
  "codegen/350m": GPT_J
  | {
    "architectures": ["CodeGenForCausalLM"],
    "model_type": "codegen",
    "n_ctx": 2048,
    "n_embd": 1024,
    "n_head": 16,
    "n_layer": 20,
    "rotary_dim": 32,
    "vocab_size": 51200,
  },
  "falcon/7b": FALCON
  | {
    "hidden_size": 4544,
    "new_decoder_architecture": False,
    "num_attention_heads": 71,
    "num_hidden_layers": 32,
  },
  "falcon/40b": FALCON
  | {
    "hidden_size": 8192,
    "new_decoder_architecture": True,
    "num_attention_heads": 128,
    "num_hidden_layers": 60,
    "num_kv_heads": 8,
  },
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
  "mistral/7b": MISTRAL,
  "gemma/2b": GEMMA_2B,
  "gemma/7b": GEMMA_2B
  | {
    "hidden_size": 3072,
    "intermediate_size": 24576,
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 16,
  },
  # No released file: the sizes of the report in the attributes that the class writes.
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


def test_a_mistral_without_a_window_is_a_llama():
  later = made(MISTRAL | {"sliding_window": None, "rope_theta": 1e6})
  sizes = dict(dim=4096, hidden=14_336, heads=32, kv_heads=8, layers=32)
  assert hf.essence(later) == hf.essence(llama(rope_base=1e6, **sizes))


def test_a_mistral_that_says_nothing_of_a_window_has_that_of_its_class():
  silent = {name: MISTRAL[name] for name in MISTRAL if name != "sliding_window"}
  assert made(silent) == made(MISTRAL)


def test_a_mistral_that_says_nothing_of_key_heads_has_those_of_its_class():
  unsaid = {"num_key_value_heads", "rope_theta", "tie_word_embeddings"}
  silent = {name: value for name, value in MISTRAL.items() if name not in unsaid}
  assert made(silent) == made(MISTRAL)


# From 4.52 on there are `layer_types`; version 5 says the base in `rope_parameters`.
def test_a_later_version_writes_the_same_qwen2():
  gone = {"rope_theta", "sliding_window", "torch_dtype"}
  kept = {
    name: value for name, value in PUBLISHED["qwen2/7b"].items() if name not in gone
  }
  later = kept | {
    "dtype": "bfloat16",
    "layer_types": 28 * ["full_attention"],
    "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
    "sliding_window": None,
  }
  assert made(later) == made(PUBLISHED["qwen2/7b"])


# The configurations of Qwen2.5 say that rotary positions are those of text alone.
def test_qwen2_5_has_no_positions_of_images():
  published = PUBLISHED["qwen2/7b"]
  assert made(published | {"use_mrope": False}) == made(published)
  with pytest.raises(ValueError, match="use_mrope=True changes"):
    made(published | {"use_mrope": True})


def test_a_falcon_may_have_groups_of_queries_behind_one_norm():
  spec = made(PUBLISHED["falcon/40b"] | {"num_ln_in_parallel_attn": 1})
  assert type(spec.decoder.blocks[0]).__name__ == "ParallelBlock"
  format, config = hf.fitting(spec, FORMATS)
  assert format.model_type == "falcon" and config["num_ln_in_parallel_attn"] == 1


NEMOTRON = {"hidden": 96, "kv_heads": 2}


# 44 * (30 / 44) is less than 30, and classes round down.
@pytest.mark.parametrize("build, more", [(gpt_neox, {}), (nemotron4, NEMOTRON)])
def test_any_part_of_a_head_can_be_written(build, more):
  spec = build(dim=88, heads=2, layers=2, vocab=64, rotary_dim=30, **more)
  _, config = hf.fitting(spec, FORMATS)
  assert int(44 * config["partial_rotary_factor"]) == 30


def test_heads_that_make_no_four_groups_are_written_as_gpt_j_alone():
  spec = codegen(dim=60, heads=6, layers=2, vocab=64, rotary_dim=4)
  assert hf.fitting(spec, FORMATS)[0].model_type == "gptj"
  with pytest.raises(ValueError, match="has no class in transformers"):
    hf.fitting(spec, FORMATS, "codegen")


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


@pytest.mark.parametrize(
  "name, values, message",
  [
    ("gpt_neox/20b", {"use_parallel_residual": False}, "residual=False changes"),
    ("gpt_neox/20b", {"attention_bias": False}, "attention_bias=False changes"),
    ("gpt_neox/20b", {"hidden_act": "swiglu"}, "hidden_act='swiglu' is not known"),
    ("gpt_neox/20b", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
    ("gpt_j/6b", {"rotary": False}, "rotary=False changes"),
    ("gpt_j/6b", {"activation_function": "gelu"}, "activation_function='gelu' changes"),
    ("codegen/350m", {"n_inner": 2048}, "n_inner=2048 changes"),
    ("codegen/350m", {"n_head": 6}, "n_head=6 must be a multiple of 4"),
    ("falcon/7b", {"alibi": True}, "alibi=True changes"),
    ("falcon/7b", {"multi_query": False}, "multi_query=False changes"),
    ("falcon/7b", {"parallel_attn": False}, "parallel_attn=False changes"),
    ("falcon/40b", {"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5 changes"),
    ("qwen2/7b", {"use_sliding_window": True}, "use_sliding_window=True changes"),
    ("qwen2/7b", {"layer_types": ["sliding_attention"]}, "sliding_attention"),
    ("qwen2/7b", {"rope_scaling": YARN}, "rope_type='yarn' changes"),
    ("mistral/7b", {"hidden_act": "gelu"}, "hidden_act='gelu' changes"),
    ("gemma/2b", {"hidden_activation": "gelu"}, "hidden_activation='gelu' changes"),
    ("gemma/2b", {"use_bidirectional_attention": True}, "attention=True changes"),
    ("gemma/7b", {"tie_word_embeddings": False}, "embeddings=False changes"),
    ("gemma/7b", {"final_logit_softcapping": 30.0}, "final_logit_softcapping=30.0"),
    ("nemotron4/340b", {"hidden_act": "silu"}, "hidden_act='silu' changes"),
    ("nemotron4/340b", {"norm_eps": 1e-6}, "norm_eps=1e-06 changes"),
    ("nemotron4/340b", {"mlp_bias": True}, "mlp_bias=True changes"),
  ],
)
def test_what_would_compute_something_else_is_refused(name, values, message):
  with pytest.raises(ValueError, match=message):
    made(PUBLISHED[name] | values)
