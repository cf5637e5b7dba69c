"""config.json of decoders in the line of GPT as published on the hub: see
test_published.py."""

import pytest

from models.zoo import ZOO
from t5x_like.interop import hf
from t5x_like.interop.formats.index import FORMATS

SUMMARY = {
  "summary_activation": None,
  "summary_first_dropout": 0.1,
  "summary_proj_to_labels": True,
  "summary_type": "cls_index",
  "summary_use_proj": True,
}
BLOOM = {
  "apply_residual_connection_post_layernorm": False,
  "attention_dropout": 0.0,
  "attention_softmax_in_fp32": True,
  "bias_dropout_fusion": True,
  "bos_token_id": 1,
  "eos_token_id": 2,
  "hidden_dropout": 0.0,
  "initializer_range": 0.02,
  "layer_norm_epsilon": 1e-05,
  "masked_softmax_fusion": True,
  "model_type": "bloom",
  "n_embed": 1024,
  "n_inner": None,
  "n_layer": 24,
  "num_attention_heads": 16,
  "offset_alibi": 100,
  "pretraining_tp": 1,
  "skip_bias_add": True,
  "skip_bias_add_qkv": False,
  "unk_token_id": 0,
  "use_cache": True,
  "vocab_size": 250880,
}
OPT = {
  "activation_dropout": 0.0,
  "activation_function": "relu",
  "architectures": ["OPTForCausalLM"],
  "attention_dropout": 0.0,
  "bos_token_id": 2,
  "do_layer_norm_before": True,
  "dropout": 0.1,
  "eos_token_id": 2,
  "ffn_dim": 3072,
  "hidden_size": 768,
  "init_std": 0.02,
  "layerdrop": 0.0,
  "max_position_embeddings": 2048,
  "model_type": "opt",
  "num_attention_heads": 12,
  "num_hidden_layers": 12,
  "pad_token_id": 1,
  "prefix": "</s>",
  "torch_dtype": "float16",
  "use_cache": True,
  "vocab_size": 50272,
  "word_embed_proj_dim": 768,
}
BIGCODE = SUMMARY | {
  "activation_function": "gelu_pytorch_tanh",
  "attention_softmax_in_fp32": True,
  "attn_pdrop": 0.1,
  "embd_pdrop": 0.1,
  "initializer_range": 0.02,
  "layer_norm_epsilon": 1e-05,
  "model_type": "gpt_bigcode",
  "multi_query": True,
  "resid_pdrop": 0.1,
  "scale_attention_softmax_in_fp32": True,
  "scale_attn_weights": True,
  "use_cache": True,
}
# Row of the zoo -> config.json
PUBLISHED = {
  "bloom/560m": BLOOM,
  "opt/125m": OPT,
  "opt/350m": OPT
  | {
    "do_layer_norm_before": False,
    "ffn_dim": 4096,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "word_embed_proj_dim": 512,
  },
  "galactica/125m": OPT
  | {
    "_remove_final_layer_norm": False,
    "activation_function": "gelu",
    "enable_bias": False,
    "layer_norm_elementwise_affine": False,
    "learned_embeddings": True,
    "scale_embeddings": False,
    "vocab_size": 50000,
  },
  "mpt/7b": {
    "architectures": ["MPTForCausalLM"],
    "attn_config": {
      "alibi": True,
      "alibi_bias_max": 8,
      "attn_impl": "torch",
      "attn_pdrop": 0,
      "attn_type": "multihead_attention",
      "attn_uses_sequence_id": False,
      "clip_qkv": None,
      "prefix_lm": False,
      "qk_ln": False,
      "softmax_scale": None,
    },
    "d_model": 4096,
    "emb_pdrop": 0,
    "embedding_fraction": 1.0,
    "expansion_ratio": 4,
    "init_config": {"name": "kaiming_normal_", "init_div_is_residual": True},
    "init_device": "cpu",
    "learned_pos_emb": True,
    "logit_scale": None,
    "max_seq_len": 2048,
    "model_type": "mpt",
    "n_heads": 32,
    "n_layers": 32,
    "no_bias": True,
    "norm_type": "low_precision_layernorm",
    "resid_pdrop": 0,
    "tokenizer_name": "EleutherAI/gpt-neox-20b",
    "torch_dtype": "bfloat16",
    "use_cache": False,
    "verbose": 0,
    "vocab_size": 50432,
  },
  "gpt/117m": SUMMARY
  | {
    "afn": "gelu",
    "architectures": ["OpenAIGPTLMHeadModel"],
    "attn_pdrop": 0.1,
    "embd_pdrop": 0.1,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "openai-gpt",
    "n_ctx": 512,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 512,
    "n_special": 0,
    "predict_special_tokens": True,
    "resid_pdrop": 0.1,
    "vocab_size": 40478,
  },
  "santacoder/1_1b": BIGCODE
  | {
    "n_embd": 2048,
    "n_head": 16,
    "n_inner": 8192,
    "n_layer": 24,
    "n_positions": 2048,
    "vocab_size": 49280,
  },
  "starcoder/15_5b": BIGCODE
  | {
    "inference_runner": 0,
    "max_batch_size": None,
    "max_sequence_length": None,
    "n_embd": 6144,
    "n_head": 48,
    "n_inner": 24576,
    "n_layer": 40,
    "n_positions": 8192,
    "pad_key_length": True,
    "pre_allocate_kv_cache": False,
    "validate_runner_input": True,
    "vocab_size": 49152,
  },
  "gpt_neo/125m": SUMMARY
  | {
    "activation_function": "gelu_new",
    "architectures": ["GPTNeoForCausalLM"],
    "attention_dropout": 0,
    "attention_layers": 6 * ["global", "local"],
    "attention_types": [[["global", "local"], 6]],
    "embed_dropout": 0,
    "gradient_checkpointing": False,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": None,
    "layer_norm_epsilon": 1e-05,
    "max_position_embeddings": 2048,
    "model_type": "gpt_neo",
    "num_heads": 12,
    "num_layers": 12,
    "resid_dropout": 0,
    "use_cache": True,
    "vocab_size": 50257,
    "window_size": 256,
  },
}


def made(config: dict):
  return hf.find(config, FORMATS).made(config, set()).spec()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_means_the_row_of_the_zoo(name):
  assert hf.essence(made(PUBLISHED[name])) == hf.essence(ZOO[name].spec())


@pytest.mark.parametrize(
  "name, act", [("opt/125m", "gelu"), ("starcoder/15_5b", "gelu")]
)
def test_another_activation_of_a_published_file_is_read_and_written(name, act):
  spec = made(PUBLISHED[name] | {"activation_function": act})
  assert spec.decoder.blocks[0].ffn.act == act
  _, config = hf.fitting(spec, FORMATS)
  assert config["activation_function"] == act


ALIBI = PUBLISHED["mpt/7b"]["attn_config"]


@pytest.mark.parametrize(
  "name, values, message",
  [
    (
      "bloom/560m",
      {"apply_residual_connection_post_layernorm": True},
      "post_layernorm=True changes",
    ),
    ("opt/125m", {"_remove_final_layer_norm": True}, "final_layer_norm=True changes"),
    ("opt/125m", {"enable_bias": False}, "activation_function='relu' changes"),
    ("opt/125m", {"word_embed_proj_dim": 512}, "none of the published"),
    ("opt/350m", {"activation_function": "gelu"}, "none of the published"),
    ("galactica/125m", {"layer_norm_elementwise_affine": True}, "affine=True changes"),
    ("mpt/7b", {"attn_config": ALIBI | {"clip_qkv": 6}}, "clip_qkv=6 changes"),
    ("mpt/7b", {"attn_config": ALIBI | {"alibi_bias_max": 16}}, "bias_max=16 changes"),
    ("mpt/7b", {"attn_config": ALIBI | {"alibi": False}}, "alibi=False changes"),
    ("mpt/7b", {"n_heads": 24}, "n_heads=24 is no power of two"),
    ("gpt/117m", {"afn": "relu"}, "afn='relu' changes"),
    ("starcoder/15_5b", {"multi_query": False}, "multi_query=False changes"),
    ("gpt_neo/125m", {"attention_types": [[["global"], 12]]}, "in turn"),
    ("gpt_neo/125m", {"num_layers": 13}, "in turn"),
  ],
)
def test_what_would_compute_something_else_is_refused(name, values, message):
  with pytest.raises(ValueError, match=message):
    made(PUBLISHED[name] | values)
