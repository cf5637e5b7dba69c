"""OLMo: LLaMA's names without norms.

You are in: t5x_like/interop/formats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.model import Decoder
from models.families.olmo import olmo
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.formats import llama
from t5x_like.interop.hf import Format, Made
from t5x_like.interop.names import SAME, Line, Row, dense, layers, outside, projections


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  attributes.fixed(attention_bias=False, hidden_act="silu", clip_qkv=False)
  heads = attributes.take("num_attention_heads")
  attributes.fixed(num_key_value_heads=heads)
  attributes.ignore("max_position_embeddings")
  if llama.rotary(attributes) != {"rope_base": 10_000.0}:
    raise ValueError("config.json: rope_parameters: OLMo's positions are not scaled.")
  return Made(
    olmo,
    dict(
      dim=attributes.take("hidden_size"),
      hidden=attributes.take("intermediate_size"),
      heads=heads,
      layers=attributes.take("num_hidden_layers"),
      vocab=attributes.take("vocab_size"),
      tied=attributes.take("tie_word_embeddings", default=False),
    ),
  )


def write(spec: Decoder) -> dict:
  block = spec.decoder.blocks[0]
  return {
    "hidden_size": spec.dim,
    "intermediate_size": block.ffn.hidden,
    "num_attention_heads": block.attention.heads,
    "num_key_value_heads": block.attention.heads,
    "num_hidden_layers": len(spec.decoder.blocks),
    "vocab_size": spec.vocab,
    "tie_word_embeddings": spec.head.tied,
    "hidden_act": block.ffn.act,
  }


def rows(spec: Decoder) -> Iterator[Row]:
  yield from outside([("token_embedder/embedding", "model.embed_tokens.weight", SAME)])
  if not spec.head.tied:
    yield from outside(dense("head", "lm_head"))
  yield from layers(spec.decoder, "decoder", _layer)


def _layer(block: object, number: int) -> Iterator[Line]:
  layer = f"model.layers.{number}"
  parts = {"query": "q", "key": "k", "value": "v", "out": "o"}
  theirs = {ours: f"{layer}.self_attn.{one}_proj" for ours, one in parts.items()}
  yield from projections(block.attention, "attention", theirs)
  yield from llama.gated("ffn", f"{layer}.mlp")


FORMATS = (
  Format(
    model_type="olmo",
    architecture="OlmoForCausalLM",
    read=read,
    write=write,
    rows=rows,
    copies=llama.COPIES,
    unused=llama.UNUSED,
  ),
)
