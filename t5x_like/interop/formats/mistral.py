"""Mistral: LLaMA's names. Releases without a window are read as LLaMA.

You are in: t5x_like/interop/formats.
"""

from __future__ import annotations

from collections.abc import Collection

from models.components.model import Decoder
from models.families.llama import llama as llama_builder
from models.families.mistral import mistral
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.formats import llama
from t5x_like.interop.hf import Format, Made

WINDOW = 4096  # where the file has no attribute; null there means that there is none


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  attributes.fixed(hidden_act=frozenset({"silu", "swish"}))
  default = None if attributes.says("sliding_window") else WINDOW
  window = attributes.take("sliding_window", default=default)
  kv_heads = {} if attributes.says("num_key_value_heads") else dict(kv_heads=8)
  sizes = llama.sizes(attributes) | llama.rotary(attributes) | kv_heads
  if window is None:
    return Made(llama_builder, sizes)
  return Made(mistral, sizes | dict(window=window))


def write(spec: Decoder) -> dict:
  window = getattr(spec.decoder.blocks[0].attention.mask, "window", None)
  return llama.write(spec) | {"sliding_window": window}


FORMATS = (
  Format(
    model_type="mistral",
    architecture="MistralForCausalLM",
    read=read,
    write=write,
    rows=llama.rows,
    copies=llama.COPIES,
    unused=llama.UNUSED,
  ),
)
