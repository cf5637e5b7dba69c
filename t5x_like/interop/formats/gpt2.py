"""GPT-2. Its projections are `Conv1D`, which keeps [in, out] as we do.

You are in: t5x_like/interop/formats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.model import Decoder
from models.families.gpt2 import gpt2
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.hf import Format, Made
from t5x_like.interop.layout import Fused, Move
from t5x_like.interop.names import SAME, Line, Row, layers, norm, outside


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  attributes.fixed(activation_function=frozenset({"gelu_new", "gelu_pytorch_tanh"}))
  return Made(gpt2, sizes(attributes))


def sizes(attributes: Attributes) -> dict:
  """Arguments of `gpt2`; StarCoder's have the same names."""
  take = attributes.take
  dim = take("n_embd", "hidden_size")
  attributes.fixed(
    n_inner=4 * dim,
    layer_norm_epsilon=1e-5,
    scale_attn_weights=True,
    scale_attn_by_inverse_layer_idx=False,
    add_cross_attention=False,
    tie_word_embeddings=True,
  )
  # n_ctx repeats n_positions; the other one changes rounding in 16 bits alone.
  attributes.ignore("n_ctx", "reorder_and_upcast_attn")
  return dict(
    dim=dim,
    heads=take("n_head"),
    layers=take("n_layer"),
    length=take("n_positions"),
    vocab=take("vocab_size"),
  )


def write(spec: Decoder) -> dict:
  block = spec.decoder.blocks[0]
  return {
    "n_embd": spec.dim,
    "n_head": block.attention.heads,
    "n_layer": len(spec.decoder.blocks),
    "n_positions": spec.embed.position.length,
    "n_inner": block.ffn.hidden,
    "vocab_size": spec.vocab,
    "activation_function": {"gelu_tanh": "gelu_new"}.get(block.ffn.act, block.ffn.act),
    "layer_norm_epsilon": block.norm.eps,
    "tie_word_embeddings": spec.head.tied,
    "resid_pdrop": spec.dropout,
    "embd_pdrop": spec.dropout,
    "attn_pdrop": spec.dropout,
  }


def rows(spec: Decoder) -> Iterator[Row]:
  yield from around(spec)
  yield from layers(spec.decoder, "decoder", layer)


def around(spec: Decoder) -> Iterator[Row]:
  """Tables and final norm; GPT-Neo and StarCoder have the same names."""
  yield from outside(
    [
      ("token_embedder/embedding", "transformer.wte.weight", SAME),
      ("token_embedder/position/embedding", "transformer.wpe.weight", SAME),
      *norm("decoder/final_norm", "transformer.ln_f", bias=True),
    ]
  )


def layer(block: object, number: int) -> Iterator[Line]:
  """One block; GPT's has the same names."""
  name, attention = f"transformer.h.{number}", block.attention
  yield from norm("attention_norm", f"{name}.ln_1", bias=True)
  yield from norm("ffn_norm", f"{name}.ln_2", bias=True)
  sizes = dict(n=attention.heads, h=attention.head_dim)
  paths = [f"attention/{one}" for one in ("query", "key", "value")]
  third = (1, "c n h d -> d (c n) h")
  kernel = Fused("d (c n h) -> c n h d", third, third, third, **sizes)
  yield tuple(f"{one}/kernel" for one in paths), f"{name}.attn.c_attn.weight", kernel
  third = (1, "c n h -> (c n) h")
  bias = Fused("(c n h) -> c n h", third, third, third, **sizes)
  yield tuple(f"{one}/bias" for one in paths), f"{name}.attn.c_attn.bias", bias
  out = Move("(n h) d -> n h d", n=attention.heads)
  yield "attention/out/kernel", f"{name}.attn.c_proj.weight", out
  yield "attention/out/bias", f"{name}.attn.c_proj.bias", SAME
  for ours, theirs in (("up", "c_fc"), ("down", "c_proj")):
    yield f"ffn/{ours}/kernel", f"{name}.mlp.{theirs}.weight", SAME
    yield f"ffn/{ours}/bias", f"{name}.mlp.{theirs}.bias", SAME


FORMATS = (
  Format(
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    read=read,
    write=write,
    rows=rows,
    prefix="transformer.",
    copies=((r"lm_head\.weight", "transformer.wte.weight"),),
    unused=(r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias",),  # causal masks
  ),
)
