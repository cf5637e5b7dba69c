"""OPT and Galactica, which one class computes.

You are in: t5x_like/interop/formats. `final_layer_norm` is the name of two things: the
feed-forward layer's norm in every layer, and the one at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.factored import FactoredEmbed
from models.components.model import Decoder
from models.components.norm import LayerNorm
from models.components.residual import PostBlock
from models.families.galactica import galactica
from models.families.opt import UNREAD, opt, opt_post_norm
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


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  take = attributes.take
  dim = take("hidden_size")
  width = take("word_embed_proj_dim", default=dim)
  first = take("do_layer_norm_before", default=True)
  biases = take("enable_bias", default=True)
  attributes.fixed(
    ffn_dim=4 * dim,
    activation_function=frozenset({"relu", "gelu"} if biases else {"gelu"}),
    layer_norm_elementwise_affine=biases,
    _remove_final_layer_norm=False if first else frozenset({True, False}),
    tie_word_embeddings=True,
    learned_embeddings=True,
    scale_embeddings=False,
  )
  act = take("activation_function", default="relu")
  sizes = dict(
    dim=dim,
    heads=take("num_attention_heads"),
    layers=take("num_hidden_layers"),
    length=take("max_position_embeddings"),
    vocab=take("vocab_size"),
  )
  if not first and biases and act == "relu":
    return Made(opt_post_norm, sizes | dict(width=width))
  if width != dim or not first:
    raise ValueError(
      f"config.json: word_embed_proj_dim={width} with do_layer_norm_before={first}, "
      f"enable_bias={biases} and activation_function={act!r} is none of the published "
      "models. Such a model cannot be imported."
    )
  if not biases:
    return Made(galactica, sizes)
  return Made(opt, sizes if act == "relu" else sizes | dict(act=act))


def write(spec: Decoder) -> dict:
  block = spec.decoder.blocks[0]
  narrow = isinstance(spec.embed, FactoredEmbed)
  return {
    "hidden_size": spec.dim,
    "word_embed_proj_dim": spec.embed.width if narrow else spec.dim,
    "ffn_dim": block.ffn.hidden,
    "num_attention_heads": block.attention.heads,
    "num_hidden_layers": len(spec.decoder.blocks),
    "max_position_embeddings": spec.embed.position.length - UNREAD,
    "vocab_size": spec.vocab,
    "activation_function": block.ffn.act,
    "do_layer_norm_before": not isinstance(block, PostBlock),
    "enable_bias": bool(block.attention.bias),
    "layer_norm_elementwise_affine": isinstance(block.norm, LayerNorm),
    "tie_word_embeddings": spec.head.tied,
    # Not used by the models; the class's defaults are a first release's.
    "dropout": spec.dropout,
    "attention_dropout": spec.dropout,
  }


def rows(spec: Decoder) -> Iterator[Row]:
  yield from outside(
    [
      ("token_embedder/embedding", "model.decoder.embed_tokens.weight", SAME),
      (
        "token_embedder/position/embedding",
        "model.decoder.embed_positions.weight",
        SAME,
      ),
    ]
  )
  if isinstance(spec.embed, FactoredEmbed):
    yield from outside(dense("token_embedder/widen", "model.decoder.project_in"))
    yield from outside(dense("head/transform", "model.decoder.project_out"))
  if isinstance(spec.decoder.final_norm, LayerNorm):
    final = norm("decoder/final_norm", "model.decoder.final_layer_norm", bias=True)
    yield from outside(final)
  yield from layers(spec.decoder, "decoder", _layer)


def _layer(block: object, number: int) -> Iterator[Line]:
  layer, biases = f"model.decoder.layers.{number}", bool(block.attention.bias)
  if isinstance(block.norm, LayerNorm):
    yield from norm("attention_norm", f"{layer}.self_attn_layer_norm", bias=True)
    yield from norm("ffn_norm", f"{layer}.final_layer_norm", bias=True)
  parts = {"query": "q", "key": "k", "value": "v", "out": "out"}
  theirs = {ours: f"{layer}.self_attn.{one}_proj" for ours, one in parts.items()}
  yield from projections(block.attention, "attention", theirs)
  yield from dense("ffn/up", f"{layer}.fc1", bias=biases)
  yield from dense("ffn/down", f"{layer}.fc2", bias=biases)


FORMATS = (
  Format(
    model_type="opt",
    architecture="OPTForCausalLM",
    read=read,
    write=write,
    rows=rows,
    prefix="model.",
    copies=((r"lm_head\.weight", "model.decoder.embed_tokens.weight"),),
  ),
)
