"""MPT. What its attention does is a dictionary of its own, `attn_config`.

You are in: t5x_like/interop/formats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.model import Decoder
from models.families.mpt import mpt
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.hf import Format, Made
from t5x_like.interop.names import (
  SAME,
  Line,
  Row,
  dense,
  fused_qkv,
  heads_in,
  layers,
  norm,
  outside,
)


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  take = attributes.take
  attributes.fixed(
    expansion_ratio=4,
    layer_norm_epsilon=1e-5,
    logit_scale=None,
    no_bias=True,
    norm_type="low_precision_layernorm",
    embedding_fraction=1.0,
    tie_word_embeddings=True,
  )
  # The class has no position table, whatever this says, and no longest row.
  attributes.ignore("learned_pos_emb", "max_seq_len")
  attributes.ignore("init_config", "init_device", "tokenizer_name", "verbose")
  found = dict(
    dim=take("d_model"),
    heads=take("n_heads"),
    layers=take("n_layers"),
    vocab=take("vocab_size"),
  )
  _check(take("attn_config", default={}), found["heads"])
  return Made(mpt, found)


def _check(values: dict, heads: int) -> None:
  """ValueError for an `attn_config` that ours or the class does not compute."""
  own = Attributes(values, source="config.json: attn_config")
  own.fixed(
    attn_type="multihead_attention",
    attn_uses_sequence_id=False,
    clip_qkv=None,
    prefix_lm=False,
    qk_ln=False,
    softmax_scale=None,
    alibi=True,
    alibi_bias_max=8,  # the class computes with 8, whatever this says
  )
  # The class writes these for every dictionary of settings.
  own.fixed(is_encoder_decoder=False, is_decoder=False, add_cross_attention=False)
  own.ignore("attn_impl", "tie_word_embeddings")
  own.close()
  if heads & (heads - 1):
    raise ValueError(
      f"config.json: n_heads={heads} is no power of two. This class then gives slopes to "
      "heads in another order than ALiBi's paper and ours. Such a model cannot be "
      "imported."
    )


def write(spec: Decoder) -> dict:
  block = spec.decoder.blocks[0]
  return {
    "d_model": spec.dim,
    "n_heads": block.attention.heads,
    "n_layers": len(spec.decoder.blocks),
    "expansion_ratio": block.ffn.hidden // spec.dim,
    "vocab_size": spec.vocab,
    "layer_norm_epsilon": block.norm.eps,
    "no_bias": not block.attention.bias,
    "tie_word_embeddings": spec.head.tied,
    "learned_pos_emb": False,
    "attn_config": {
      "alibi": True,
      "alibi_bias_max": int(spec.decoder.position.max_bias),
    },
  }


def rows(spec: Decoder) -> Iterator[Row]:
  table = ("token_embedder/embedding", "transformer.wte.weight", SAME)
  yield from outside([table, *norm("decoder/final_norm", "transformer.norm_f")])
  yield from layers(spec.decoder, "decoder", _layer)


def _layer(block: object, number: int) -> Iterator[Line]:
  layer, attention = f"transformer.blocks.{number}", block.attention
  yield from norm("attention_norm", f"{layer}.norm_1")
  yield from norm("ffn_norm", f"{layer}.norm_2")
  yield from fused_qkv(attention, "attention", f"{layer}.attn.Wqkv", "c n h")
  out = heads_in(attention.heads)
  yield "attention/out/kernel", f"{layer}.attn.out_proj.weight", out
  yield from dense("ffn/up", f"{layer}.ffn.up_proj")
  yield from dense("ffn/down", f"{layer}.ffn.down_proj")


FORMATS = (
  Format(
    model_type="mpt",
    architecture="MptForCausalLM",
    read=read,
    write=write,
    rows=rows,
    prefix="transformer.",
    copies=((r"lm_head\.weight", "transformer.wte.weight"),),
  ),
)
