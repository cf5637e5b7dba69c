"""Nemotron-4: LLaMA's names, norms with biases, no gate.

You are in: t5x_like/interop/formats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.model import Decoder
from models.families.nemotron4 import nemotron4
from t5x_like.interop.activations import THEIRS
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.hf import Format, Made
from t5x_like.interop.names import (
  SAME,
  Line,
  Row,
  dense,
  layers,
  norm,
  outside,
  projections,
)
from t5x_like.interop.rotary import part_of, rotated, written


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  take = attributes.take
  dim, heads = take("hidden_size"), take("num_attention_heads")
  head_dim = take("head_dim", default=dim // heads)
  attributes.fixed(
    hidden_act="relu2",
    norm_eps=1e-5,
    attention_bias=False,
    mlp_bias=False,
    tie_word_embeddings=False,
  )
  attributes.ignore("max_position_embeddings")
  base, part = rotated(attributes, default=0.5, part="partial_rotary_percent")
  return Made(
    nemotron4,
    dict(
      dim=dim,
      hidden=take("intermediate_size"),
      heads=heads,
      kv_heads=take("num_key_value_heads", default=heads),
      layers=take("num_hidden_layers"),
      head_dim=head_dim,
      rotary_dim=int(head_dim * part),
      rope_base=base,
      vocab=take("vocab_size"),
    ),
  )


def write(spec: Decoder) -> dict:
  block = spec.decoder.blocks[0]
  attention = block.attention
  rotary = attention.position
  part = part_of(attention.head_dim, rotary.dims)
  return written(rotary.rope.base, part) | {
    "hidden_size": spec.dim,
    "intermediate_size": block.ffn.hidden,
    "num_attention_heads": attention.heads,
    "num_key_value_heads": attention.kv_heads,
    "num_hidden_layers": len(spec.decoder.blocks),
    "head_dim": attention.head_dim,
    "vocab_size": spec.vocab,
    "hidden_act": THEIRS[block.ffn.act],
    "norm_eps": block.norm.eps,
    "tie_word_embeddings": spec.head.tied,
  }


def rows(spec: Decoder) -> Iterator[Row]:
  yield from outside(
    [
      ("token_embedder/embedding", "model.embed_tokens.weight", SAME),
      *norm("decoder/final_norm", "model.norm", bias=True),
      *dense("head", "lm_head"),
    ]
  )
  yield from layers(spec.decoder, "decoder", _layer)


def _layer(block: object, number: int) -> Iterator[Line]:
  name = f"model.layers.{number}"
  yield from norm("attention_norm", f"{name}.input_layernorm", bias=True)
  yield from norm("ffn_norm", f"{name}.post_attention_layernorm", bias=True)
  parts = {"query": "q", "key": "k", "value": "v", "out": "o"}
  theirs = {ours: f"{name}.self_attn.{one}_proj" for ours, one in parts.items()}
  yield from projections(block.attention, "attention", theirs)
  yield from dense("ffn/up", f"{name}.mlp.up_proj")
  yield from dense("ffn/down", f"{name}.mlp.down_proj")


FORMATS = (
  Format(
    model_type="nemotron",
    architecture="NemotronForCausalLM",
    read=read,
    write=write,
    rows=rows,
  ),
)
