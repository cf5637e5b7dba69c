"""GPT, whose layers have GPT-2's names; its `gelu` is the tanh approximation.

You are in: t5x_like/interop/formats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.model import Decoder
from models.families.gpt import gpt
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.formats import gpt2
from t5x_like.interop.hf import Format, Made
from t5x_like.interop.names import SAME, Row, layers, outside


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  take = attributes.take
  attributes.fixed(
    afn="gelu", layer_norm_epsilon=1e-5, tie_word_embeddings=True, n_special=0
  )
  # n_ctx repeats n_positions; the other one is of tasks.
  attributes.ignore("n_ctx", "predict_special_tokens")
  return Made(
    gpt,
    dict(
      dim=take("n_embd"),
      heads=take("n_head"),
      layers=take("n_layer"),
      length=take("n_positions"),
      vocab=take("vocab_size"),
    ),
  )


def write(spec: Decoder) -> dict:
  block = spec.decoder.blocks[0]
  return {
    "n_embd": spec.dim,
    "n_head": block.attention.heads,
    "n_layer": len(spec.decoder.blocks),
    "n_positions": spec.embed.position.length,
    "vocab_size": spec.vocab,
    "afn": {"gelu_tanh": "gelu"}[block.ffn.act],
    "layer_norm_epsilon": block.norm.eps,
    "tie_word_embeddings": spec.head.tied,
    "resid_pdrop": spec.dropout,
    "embd_pdrop": spec.dropout,
    "attn_pdrop": spec.dropout,
  }


def rows(spec: Decoder) -> Iterator[Row]:
  positions = "transformer.positions_embed.weight"
  yield from outside(
    [
      ("token_embedder/embedding", "transformer.tokens_embed.weight", SAME),
      ("token_embedder/position/embedding", positions, SAME),
    ]
  )
  yield from layers(spec.decoder, "decoder", gpt2.layer)


FORMATS = (
  Format(
    model_type="openai-gpt",
    architecture="OpenAIGPTLMHeadModel",
    read=read,
    write=write,
    rows=rows,
    prefix="transformer.",
    copies=((r"lm_head\.weight", "transformer.tokens_embed.weight"),),
    unused=(
      r"(transformer\.)?h\.\d+\.attn\.bias",  # causal masks
      r"(transformer\.)?position_ids",
    ),
  ),
)
