"""GPT-NeoX and Pythia: queries, keys and values of a head side by side in one tensor.

You are in: t5x_like/interop/formats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.model import Decoder
from models.families.gpt_neox import gpt_neox
from t5x_like.interop.activations import THEIRS, act
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
from t5x_like.interop.rotary import part_of, rotated, written


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  take = attributes.take
  dim, heads = take("hidden_size"), take("num_attention_heads")
  attributes.fixed(
    intermediate_size=4 * dim,
    layer_norm_eps=1e-5,
    use_parallel_residual=True,
    attention_bias=True,
    tie_word_embeddings=False,
    is_decoder=frozenset({True, False}),
  )
  attributes.ignore("max_position_embeddings")
  base, part = rotated(
    attributes, default=0.25, base="rotary_emb_base", part="rotary_pct"
  )
  return Made(
    gpt_neox,
    dict(
      dim=dim,
      heads=heads,
      layers=take("num_hidden_layers"),
      rotary_dim=int(dim // heads * part),
      rope_base=base,
      act=act(attributes, "hidden_act", default="gelu"),
      vocab=take("vocab_size"),
    ),
  )


def write(spec: Decoder) -> dict:
  block = spec.decoder.blocks[0]
  attention = block.attention
  base, dims = attention.position.rope.base, attention.position.dims
  positions = written(base, part_of(attention.head_dim, dims))
  return positions | {
    "rotary_emb_base": base,
    "rotary_pct": positions["partial_rotary_factor"],
    "hidden_size": spec.dim,
    "num_attention_heads": attention.heads,
    "num_hidden_layers": len(spec.decoder.blocks),
    "intermediate_size": block.ffn.hidden,
    "vocab_size": spec.vocab,
    "hidden_act": THEIRS[block.ffn.act],
    "layer_norm_eps": block.norm.eps,
    "tie_word_embeddings": spec.head.tied,
    "use_parallel_residual": True,
  }


def rows(spec: Decoder) -> Iterator[Row]:
  yield from outside(
    [
      ("token_embedder/embedding", "gpt_neox.embed_in.weight", SAME),
      *norm("decoder/final_norm", "gpt_neox.final_layer_norm", bias=True),
      *dense("head", "embed_out"),
    ]
  )
  yield from layers(spec.decoder, "decoder", _layer)


def _layer(block: object, number: int) -> Iterator[Line]:
  layer, attention = f"gpt_neox.layers.{number}", block.attention
  yield from norm("attention_norm", f"{layer}.input_layernorm", bias=True)
  yield from norm("ffn_norm", f"{layer}.post_attention_layernorm", bias=True)
  own = f"{layer}.attention"
  yield from fused_qkv(attention, "attention", f"{own}.query_key_value", "n c h")
  yield "attention/out/kernel", f"{own}.dense.weight", heads_in(attention.heads)
  yield "attention/out/bias", f"{own}.dense.bias", SAME
  yield from dense("ffn/up", f"{layer}.mlp.dense_h_to_4h", bias=True)
  yield from dense("ffn/down", f"{layer}.mlp.dense_4h_to_h", bias=True)


FORMATS = (
  Format(
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    read=read,
    write=write,
    rows=rows,
    # Causal masks and rotary angles.
    unused=(
      r"gpt_neox\.layers\.\d+\.attention\.(masked_)?bias",
      r"gpt_neox\.layers\.\d+\.attention\.rotary_emb\.inv_freq",
    ),
  ),
)
