"""Gemma 1: LLaMA's names, with a table that is head and embedding at once.

You are in: t5x_like/interop/formats. Its first files say "gelu" and mean the tanh
approximation, which their class computes whatever they say.
"""

from __future__ import annotations

from collections.abc import Collection

from models.components.model import Decoder
from models.families.gemma import gemma
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.formats import llama
from t5x_like.interop.hf import Format, Made
from t5x_like.interop.rotary import whole

TANH = "gelu_pytorch_tanh"


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  take = attributes.take
  attributes.fixed(
    hidden_act=frozenset({"gelu", TANH}),
    hidden_activation=TANH,
    attention_bias=False,
    tie_word_embeddings=True,
    use_bidirectional_attention=False,
  )
  attributes.ignore("max_position_embeddings")
  return Made(
    gemma,
    dict(
      dim=take("hidden_size"),
      hidden=take("intermediate_size"),
      heads=take("num_attention_heads"),
      kv_heads=take("num_key_value_heads"),
      layers=take("num_hidden_layers"),
      head_dim=take("head_dim", default=256),
      rope_base=whole(attributes),
      vocab=take("vocab_size"),
      eps=take("rms_norm_eps", default=1e-6),
    ),
  )


def write(spec: Decoder) -> dict:
  return llama.write(spec) | {"hidden_act": TANH}


FORMATS = (
  Format(
    model_type="gemma",
    architecture="GemmaForCausalLM",
    read=read,
    write=write,
    rows=llama.rows,
    copies=llama.COPIES,
    unused=llama.UNUSED,
  ),
)
