"""Falcon: each group of queries is stored with its key and its value behind it.

You are in: t5x_like/interop/formats. The "new decoder architecture" is that of 40B.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.model import Decoder
from models.components.residual import TwoNormParallelBlock
from models.families.falcon import falcon, falcon_two_norms
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.hf import Format, Made
from t5x_like.interop.layout import Fused
from t5x_like.interop.names import (
  SAME,
  Line,
  Row,
  dense,
  heads_in,
  layers,
  norm,
  outside,
)
from t5x_like.interop.rotary import whole, written


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  take = attributes.take
  dim, heads = take("hidden_size"), take("num_attention_heads", "n_head")
  attributes.fixed(
    ffn_hidden_size=4 * dim,
    activation="gelu",
    alibi=False,
    bias=False,
    parallel_attn=True,
    layer_norm_epsilon=1e-5,
    apply_residual_connection_post_layernorm=False,
    tie_word_embeddings=True,
  )
  attributes.ignore("max_position_embeddings")
  build, kv_heads = _kind(attributes, heads)
  return Made(
    build,
    dict(
      dim=dim,
      heads=heads,
      kv_heads=kv_heads,
      layers=take("num_hidden_layers", "n_layer"),
      rope_base=whole(attributes),
      vocab=take("vocab_size"),
    ),
  )


def _kind(attributes: Attributes, heads: int) -> tuple:
  """(builder, heads of keys)."""
  if not attributes.take("new_decoder_architecture", default=False):
    attributes.fixed(multi_query=True, num_ln_in_parallel_attn=1)
    attributes.ignore("num_kv_heads")
    return falcon, 1
  attributes.ignore("multi_query")
  norms = attributes.take("num_ln_in_parallel_attn", default=2)
  build = falcon_two_norms if norms == 2 else falcon
  return build, attributes.take("num_kv_heads", default=heads)


def write(spec: Decoder) -> dict:
  block = spec.decoder.blocks[0]
  attention, norms = block.attention, 1 + isinstance(block, TwoNormParallelBlock)
  return written(attention.position.base) | {
    "hidden_size": spec.dim,
    "num_attention_heads": attention.heads,
    "num_kv_heads": attention.kv_heads,
    "num_hidden_layers": len(spec.decoder.blocks),
    "ffn_hidden_size": block.ffn.hidden,
    "vocab_size": spec.vocab,
    "activation": block.ffn.act,
    "layer_norm_epsilon": block.norm.eps,
    "tie_word_embeddings": spec.head.tied,
    "alibi": False,
    "bias": False,
    "parallel_attn": True,
    "multi_query": attention.kv_heads == 1,
    "new_decoder_architecture": norms == 2 or attention.kv_heads != 1,
    "num_ln_in_parallel_attn": norms,
  }


def rows(spec: Decoder) -> Iterator[Row]:
  yield from outside(
    [
      ("token_embedder/embedding", "transformer.word_embeddings.weight", SAME),
      *norm("decoder/final_norm", "transformer.ln_f", bias=True),
    ]
  )
  yield from layers(spec.decoder, "decoder", _layer)


def _layer(block: object, number: int) -> Iterator[Line]:
  layer, attention = f"transformer.h.{number}", block.attention
  if isinstance(block, TwoNormParallelBlock):
    yield from norm("attention_norm", f"{layer}.ln_attn", bias=True)
    yield from norm("ffn_norm", f"{layer}.ln_mlp", bias=True)
  else:
    yield from norm("attention_norm", f"{layer}.input_layernorm", bias=True)
  groups, place = attention.kv_heads, "p k h d -> d (k p) h"
  kernel = Fused(
    "(k p h) d -> p k h d",
    (attention.heads // groups, place),
    (1, place),
    (1, place),
    k=groups,
    h=attention.head_dim,
  )
  paths = tuple(f"attention/{one}/kernel" for one in ("query", "key", "value"))
  own = f"{layer}.self_attention"
  yield paths, f"{own}.query_key_value.weight", kernel
  yield "attention/out/kernel", f"{own}.dense.weight", heads_in(attention.heads)
  yield from dense("ffn/up", f"{layer}.mlp.dense_h_to_4h")
  yield from dense("ffn/down", f"{layer}.mlp.dense_4h_to_h")


FORMATS = (
  Format(
    model_type="falcon",
    architecture="FalconForCausalLM",
    read=read,
    write=write,
    rows=rows,
    prefix="transformer.",
    copies=((r"lm_head\.weight", "transformer.word_embeddings.weight"),),
    unused=(r"(transformer\.)?h\.\d+\.self_attention\.rotary_emb\.inv_freq",),
  ),
)
