"""config.json as published on the hub, read as rows of the zoo.

The attributes are those of the released files, bookkeeping included, as far as they were
written down: what a real folder holds must neither be refused nor change the model.
"""

import pytest

from models.zoo import ZOO
from t5x_like.interop import hf
from t5x_like.interop.formats.index import FORMATS

TASKS = {"summarization": {"num_beams": 4, "prefix": "summarize: ", "max_length": 200}}
T5 = {
  "architectures": ["T5ForConditionalGeneration"],
  "model_type": "t5",
  "d_kv": 64,
  "decoder_start_token_id": 0,
  "dropout_rate": 0.1,
  "eos_token_id": 1,
  "initializer_factor": 1.0,
  "is_encoder_decoder": True,
  "layer_norm_epsilon": 1e-06,
  "output_past": True,
  "pad_token_id": 0,
  "relative_attention_num_buckets": 32,
  "use_cache": True,
}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
HEAD = {"lm_head.weight"}

LLAMA = {
  "architectures": ["LlamaForCausalLM"],
  "model_type": "llama",
  "bos_token_id": 1,
  "eos_token_id": 2,
  "hidden_act": "silu",
  "initializer_range": 0.02,
  "max_position_embeddings": 4096,
  "tie_word_embeddings": False,
  "torch_dtype": "float16",
  "transformers_version": "4.31.0.dev0",
  "use_cache": True,
}

# Row of the zoo -> (config.json, names of stored tensors that decide something)
PUBLISHED = {
  "t5/small": (
    T5
    | {
      "d_model": 512,
      "d_ff": 2048,
      "num_heads": 8,
      "num_layers": 6,
      "n_positions": 512,
      "vocab_size": 32128,
      "task_specific_params": TASKS,
    },
    set(),
  ),
  "t5_1_1/base": (
    T5
    | GATED
    | {
      "d_model": 768,
      "d_ff": 2048,
      "num_heads": 12,
      "num_layers": 12,
      "num_decoder_layers": 12,
      "vocab_size": 32128,
    },
    HEAD,
  ),
  "mt5/small": (
    T5
    | GATED
    | {
      "_name_or_path": "/home/patrick/hugging_face/t5/mt5-small",
      "architectures": ["MT5ForConditionalGeneration"],
      "model_type": "mt5",
      "d_model": 512,
      "d_ff": 1024,
      "num_heads": 6,
      "num_layers": 8,
      "num_decoder_layers": 8,
      "tokenizer_class": "T5Tokenizer",
      "transformers_version": "4.10.0.dev0",
      "vocab_size": 250112,
    },
    HEAD,
  ),
  "byt5/small": (
    T5
    | GATED
    | {
      "d_model": 1472,
      "d_ff": 3584,
      "gradient_checkpointing": False,
      "num_heads": 6,
      "num_layers": 12,
      "num_decoder_layers": 4,
      "tokenizer_class": "ByT5Tokenizer",
      "vocab_size": 384,
    },
    HEAD,
  ),
  "umt5/small": (
    T5
    | GATED
    | {
      "architectures": ["UMT5ForConditionalGeneration"],
      "model_type": "umt5",
      "classifier_dropout": 0.0,
      "d_model": 512,
      "d_ff": 1024,
      "dense_act_fn": "gelu_new",
      "is_gated_act": True,
      "num_heads": 6,
      "num_layers": 8,
      "num_decoder_layers": 8,
      "relative_attention_max_distance": 128,
      "scalable_attention": True,
      "tokenizer_class": "T5Tokenizer",
      "torch_dtype": "float32",
      "vocab_size": 256384,
    },
    HEAD,
  ),
  "gpt2/small": (
    {
      "activation_function": "gelu_new",
      "architectures": ["GPT2LMHeadModel"],
      "attn_pdrop": 0.1,
      "bos_token_id": 50256,
      "embd_pdrop": 0.1,
      "eos_token_id": 50256,
      "initializer_range": 0.02,
      "layer_norm_epsilon": 1e-05,
      "model_type": "gpt2",
      "n_ctx": 1024,
      "n_embd": 768,
      "n_head": 12,
      "n_layer": 12,
      "n_positions": 1024,
      "resid_pdrop": 0.1,
      "summary_activation": None,
      "summary_first_dropout": 0.1,
      "summary_proj_to_labels": True,
      "summary_type": "cls_index",
      "summary_use_proj": True,
      "task_specific_params": {"text-generation": {"do_sample": True}},
      "vocab_size": 50257,
    },
    set(),
  ),
  "llama2/7b": (
    LLAMA
    | {
      "hidden_size": 4096,
      "intermediate_size": 11008,
      "num_attention_heads": 32,
      "num_hidden_layers": 32,
      "num_key_value_heads": 32,
      "pretraining_tp": 1,
      "rms_norm_eps": 1e-05,
      "rope_scaling": None,
      "vocab_size": 32000,
    },
    HEAD,
  ),
  "llama/7b": (
    LLAMA
    | {
      "hidden_size": 4096,
      "intermediate_size": 11008,
      "max_sequence_length": 2048,
      "num_attention_heads": 32,
      "num_hidden_layers": 32,
      "pad_token_id": -1,
      "rms_norm_eps": 1e-06,
      "vocab_size": 32000,
    },
    HEAD,
  ),
  "llama3/8b": (
    LLAMA
    | {
      "attention_bias": False,
      "attention_dropout": 0.0,
      "bos_token_id": 128000,
      "eos_token_id": 128001,
      "hidden_size": 4096,
      "intermediate_size": 14336,
      "max_position_embeddings": 8192,
      "num_attention_heads": 32,
      "num_hidden_layers": 32,
      "num_key_value_heads": 8,
      "pretraining_tp": 1,
      "rms_norm_eps": 1e-05,
      "rope_scaling": None,
      "rope_theta": 500000.0,
      "torch_dtype": "bfloat16",
      "vocab_size": 128256,
    },
    HEAD,
  ),
  "llama3_2/1b": (
    LLAMA
    | {
      "attention_bias": False,
      "attention_dropout": 0.0,
      "bos_token_id": 128000,
      "eos_token_id": 128001,
      "head_dim": 64,
      "hidden_size": 2048,
      "intermediate_size": 8192,
      "max_position_embeddings": 131072,
      "mlp_bias": False,
      "num_attention_heads": 32,
      "num_hidden_layers": 16,
      "num_key_value_heads": 8,
      "pretraining_tp": 1,
      "rms_norm_eps": 1e-05,
      "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
      },
      "rope_theta": 500000.0,
      "tie_word_embeddings": True,
      "torch_dtype": "bfloat16",
      "vocab_size": 128256,
    },
    set(),
  ),
  "mixtral/8x7b": (
    LLAMA
    | {
      "architectures": ["MixtralForCausalLM"],
      "attention_dropout": 0.0,
      "hidden_size": 4096,
      "intermediate_size": 14336,
      "max_position_embeddings": 32768,
      "model_type": "mixtral",
      "num_attention_heads": 32,
      "num_experts_per_tok": 2,
      "num_hidden_layers": 32,
      "num_key_value_heads": 8,
      "num_local_experts": 8,
      "output_router_logits": False,
      "rms_norm_eps": 1e-05,
      "rope_theta": 1000000.0,
      "router_aux_loss_coef": 0.02,
      "sliding_window": None,
      "vocab_size": 32000,
    },
    HEAD,
  ),
}


def made(config: dict, stored: set):
  return hf.find(config, FORMATS).made(config, stored).spec()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_means_the_row_of_the_zoo(name):
  assert hf.essence(made(*PUBLISHED[name])) == hf.essence(ZOO[name].spec())


@pytest.mark.parametrize(
  "name, values, message",
  [
    ("llama2/7b", {"attention_bias": True}, "attention_bias=True changes"),
    ("llama2/7b", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "'linear'"),
    ("llama2/7b", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "'yarn'"),
    ("llama3_2/1b", {"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
    ("mixtral/8x7b", {"sliding_window": 4096}, "sliding_window=4096 changes"),
    ("mixtral/8x7b", {"num_experts_per_tok": 1}, "num_experts_per_tok=1 changes"),
    ("t5/small", {"relative_attention_num_buckets": 64}, "num_buckets=64 changes"),
    ("t5/small", {"feed_forward_proj": "swish"}, "feed_forward_proj='swish'"),
    ("umt5/small", {"tie_word_embeddings": True}, "transformers 5 writes true"),
    ("umt5/small", {"scale_decoder_outputs": True}, "transformers 5 writes true"),
  ],
)
def test_what_would_compute_something_else_is_refused(name, values, message):
  config, stored = PUBLISHED[name]
  with pytest.raises(ValueError, match=message):
    made(config | values, stored)
