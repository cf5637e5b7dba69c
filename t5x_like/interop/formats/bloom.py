"""BLOOM: queries, keys and values of a head side by side in one tensor.

You are in: t5x_like/interop/formats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.model import Decoder
from models.families.bloom import bloom
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
  dim = take("n_embed", "hidden_size")  # the first one wins in their class, too
  attributes.fixed(
    apply_residual_connection_post_layernorm=False,
    layer_norm_epsilon=1e-5,
    tie_word_embeddings=True,
    # Left over from a first version of the class.
    n_inner=4 * dim,
    offset_alibi=100,
    skip_bias_add=True,
    skip_bias_add_qkv=False,
    attention_softmax_in_fp32=True,
    masked_softmax_fusion=frozenset({True, False}),
    bias_dropout_fusion=frozenset({True, False}),
  )
  # A length that nothing needs; sums in the order of a cluster's devices.
  attributes.ignore("seq_length", "slow_but_exact")
  return Made(
    bloom,
    dict(
      dim=dim,
      heads=take("n_head", "num_attention_heads"),
      layers=take("n_layer", "num_hidden_layers"),
      vocab=take("vocab_size"),
    ),
  )


def write(spec: Decoder) -> dict:
  block = spec.decoder.blocks[0]
  return {
    "hidden_size": spec.dim,
    "n_head": block.attention.heads,
    "n_layer": len(spec.decoder.blocks),
    "vocab_size": spec.vocab,
    "layer_norm_epsilon": block.norm.eps,
    "tie_word_embeddings": spec.head.tied,
    "apply_residual_connection_post_layernorm": False,
  }


def rows(spec: Decoder) -> Iterator[Row]:
  table = ("token_embedder/embedding", "transformer.word_embeddings.weight", SAME)
  after = "transformer.word_embeddings_layernorm"
  yield from outside(
    [
      table,
      *norm("token_embedder/norm", after, bias=True),
      *norm("decoder/final_norm", "transformer.ln_f", bias=True),
    ]
  )
  yield from layers(spec.decoder, "decoder", _layer)


def _layer(block: object, number: int) -> Iterator[Line]:
  layer, attention = f"transformer.h.{number}", block.attention
  yield from norm("attention_norm", f"{layer}.input_layernorm", bias=True)
  yield from norm("ffn_norm", f"{layer}.post_attention_layernorm", bias=True)
  own = f"{layer}.self_attention"
  yield from fused_qkv(attention, "attention", f"{own}.query_key_value", "n c h")
  yield "attention/out/kernel", f"{own}.dense.weight", heads_in(attention.heads)
  yield "attention/out/bias", f"{own}.dense.bias", SAME
  yield from dense("ffn/up", f"{layer}.mlp.dense_h_to_4h", bias=True)
  yield from dense("ffn/down", f"{layer}.mlp.dense_4h_to_h", bias=True)


FORMATS = (
  Format(
    model_type="bloom",
    architecture="BloomForCausalLM",
    read=read,
    write=write,
    rows=rows,
    prefix="transformer.",
    copies=((r"lm_head\.weight", "transformer.word_embeddings.weight"),),
  ),
)
