"""GPT-Neo: GPT-2's names around layers with separate projections.

You are in: t5x_like/interop/formats. Its attention is one part of a module of the same
name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.model import Decoder
from models.families.gpt_neo import gpt_neo
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.formats import gpt2
from t5x_like.interop.hf import Format, Made
from t5x_like.interop.names import (
  Line,
  Row,
  dense,
  layers,
  norm,
  projections,
)

PAIR = ["global", "local"]


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  take = attributes.take
  dim, number = take("hidden_size"), take("num_layers")
  attributes.fixed(
    intermediate_size=4 * dim,
    activation_function=frozenset({"gelu_new", "gelu_pytorch_tanh"}),
    layer_norm_epsilon=1e-5,
    tie_word_embeddings=True,
  )
  kinds = [kind for kinds, times in take("attention_types") for kind in kinds * times]
  if (
    take("attention_layers", default=kinds) != kinds
    or kinds != (number * PAIR)[:number]
  ):
    raise ValueError(
      f"config.json: attention_types={kinds} for {number} layers; ours has global and "
      "local attention in turn. Such a model cannot be imported."
    )
  return Made(
    gpt_neo,
    dict(
      dim=dim,
      heads=take("num_heads"),
      layers=number,
      window=take("window_size"),
      length=take("max_position_embeddings"),
      vocab=take("vocab_size"),
    ),
  )


def write(spec: Decoder) -> dict:
  _, local = spec.decoder.blocks[:2]
  number = len(spec.decoder.blocks)
  return {
    "hidden_size": spec.dim,
    "num_heads": local.attention.heads,
    "num_layers": number,
    "attention_types": [[PAIR, number // 2]],
    "window_size": local.attention.mask.window,
    "max_position_embeddings": spec.embed.position.length,
    "intermediate_size": local.ffn.hidden,
    "vocab_size": spec.vocab,
    "activation_function": {"gelu_tanh": "gelu_new"}[local.ffn.act],
    "layer_norm_epsilon": local.norm.eps,
    "tie_word_embeddings": spec.head.tied,
    "resid_dropout": spec.dropout,
    "embed_dropout": spec.dropout,
    "attention_dropout": spec.dropout,
  }


def rows(spec: Decoder) -> Iterator[Row]:
  yield from gpt2.around(spec)
  yield from layers(spec.decoder, "decoder", _layer)


def _layer(block: object, number: int) -> Iterator[Line]:
  name = f"transformer.h.{number}"
  yield from norm("attention_norm", f"{name}.ln_1", bias=True)
  yield from norm("ffn_norm", f"{name}.ln_2", bias=True)
  own = f"{name}.attn.attention"
  parts = {"query": "q", "key": "k", "value": "v", "out": "out"}
  theirs = {ours: f"{own}.{one}_proj" for ours, one in parts.items()}
  yield from projections(block.attention, "attention", theirs)
  yield from dense("ffn/up", f"{name}.mlp.c_fc", bias=True)
  yield from dense("ffn/down", f"{name}.mlp.c_proj", bias=True)


FORMATS = (
  Format(
    model_type="gpt_neo",
    architecture="GPTNeoForCausalLM",
    read=read,
    write=write,
    rows=rows,
    prefix="transformer.",
    copies=((r"lm_head\.weight", "transformer.wte.weight"),),
    # Causal masks, whole and banded.
    unused=(r"(transformer\.)?h\.\d+\.attn\.attention\.(masked_)?bias",),
  ),
)
