"""Qwen2: LLaMA's names, with biases on queries, keys and values.

You are in: t5x_like/interop/formats.
"""

from __future__ import annotations

from collections.abc import Collection

from models.families.qwen import qwen
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.formats import llama
from t5x_like.interop.hf import Format, Made


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  attributes.fixed(
    hidden_act=frozenset({"silu", "swish"}), use_sliding_window=False, use_mrope=False
  )
  # A window that is not used, and from which layer on it would be.
  attributes.ignore("sliding_window", "max_window_layers")
  kinds = set(attributes.take("layer_types", default=["full_attention"]))
  if kinds != {"full_attention"}:
    raise ValueError(
      f"config.json: layer_types has {sorted(kinds)}; ours computes full_attention alone."
    )
  return Made(qwen, llama.sizes(attributes) | llama.rotary(attributes))


FORMATS = (
  Format(
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    read=read,
    write=llama.write,
    rows=llama.rows,
    copies=llama.COPIES,
    unused=llama.UNUSED,
  ),
)
