"""BERT, RoBERTa and ALBERT with the heads they were pre-trained with.

You are in: t5x_like/interop/formats. The three name the same parts differently: `Names`
says how, and one path table serves all.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator

from models.components.encoder import Encoder
from models.components.factored import NarrowEmbed
from models.components.stack import Stack
from models.families.bert import albert, bert, roberta
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

OURS_BY_ACT = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu", "silu": "silu"}
THEIRS_BY_ACT = {ours: theirs for theirs, ours in OURS_BY_ACT.items()}


@dataclasses.dataclass(frozen=True)
class Names:
  """base: of the encoder. layer: of one layer, {} its number. parts: ours -> theirs
  within a layer. head, head_norm, head_bias: of masked tokens. pooler, judge: of rows."""

  base: str
  layer: str
  parts: dict[str, str]
  head: str
  head_norm: str
  head_bias: str
  pooler: str = ""
  judge: str = ""


PARTS = {
  "query": "attention.self.query",
  "key": "attention.self.key",
  "value": "attention.self.value",
  "out": "attention.output.dense",
  "attention_norm": "attention.output.LayerNorm",
  "up": "intermediate.dense",
  "down": "output.dense",
  "ffn_norm": "output.LayerNorm",
}
BERT = Names(
  base="bert",
  layer="bert.encoder.layer.{}",
  parts=PARTS,
  head="cls.predictions.transform.dense",
  head_norm="cls.predictions.transform.LayerNorm",
  head_bias="cls.predictions.bias",
  pooler="bert.pooler.dense",
  judge="cls.seq_relationship",
)
ROBERTA = Names(
  base="roberta",
  layer="roberta.encoder.layer.{}",
  parts=PARTS,
  head="lm_head.dense",
  head_norm="lm_head.layer_norm",
  head_bias="lm_head.bias",
)
ALBERT = Names(
  base="albert",
  layer="albert.encoder.albert_layer_groups.0.albert_layers.0",
  parts={
    "query": "attention.query",
    "key": "attention.key",
    "value": "attention.value",
    "out": "attention.dense",
    "attention_norm": "attention.LayerNorm",
    "up": "ffn",
    "down": "ffn_output",
    "ffn_norm": "full_layer_layer_norm",
  },
  head="predictions.dense",
  head_norm="predictions.LayerNorm",
  head_bias="predictions.bias",
  pooler="albert.pooler",
  judge="sop_classifier.classifier",
)


def sizes(attributes: Attributes) -> dict:
  """What the three have in common; refuses what none of ours computes."""
  take = attributes.take
  attributes.fixed(
    position_embedding_type="absolute",
    is_decoder=False,
    add_cross_attention=False,
    tie_word_embeddings=True,
  )
  return dict(
    dim=take("hidden_size"),
    hidden=take("intermediate_size"),
    heads=take("num_attention_heads"),
    layers=take("num_hidden_layers"),
    vocab=take("vocab_size"),
    types=take("type_vocab_size"),
    eps=take("layer_norm_eps", default=1e-12),
    act=_act(take("hidden_act", default="gelu")),
  )


def read_bert(attributes: Attributes, stored: Collection[str]) -> Made:
  """BertForPreTraining."""
  length = attributes.take("max_position_embeddings")
  return Made(bert, sizes(attributes) | dict(length=length))


def read_roberta(attributes: Attributes, stored: Collection[str]) -> Made:
  """RobertaForMaskedLM: two rows of its position table are never read."""
  attributes.fixed(type_vocab_size=1, layer_norm_eps=1e-5)
  made = sizes(attributes)
  del made["types"], made["eps"]
  length = attributes.take("max_position_embeddings") - 2
  return Made(roberta, made | dict(length=length))


def read_albert(attributes: Attributes, stored: Collection[str]) -> Made:
  """AlbertForPreTraining, all layers in one group."""
  attributes.fixed(
    num_hidden_groups=1,
    inner_group_num=1,
    down_scale_factor=1,
    gap_size=0,
    net_structure_type=0,
    num_memory_blocks=0,
    hidden_act="gelu_new",
  )
  made = sizes(attributes)
  del made["act"]
  length = attributes.take("max_position_embeddings")
  narrow = attributes.take("embedding_size", default=128)
  return Made(albert, made | dict(length=length, narrow=narrow))


def write(spec: Encoder) -> dict:
  """The attributes of any of the three."""
  block, position = spec.encoder.blocks[0], spec.embed.position
  attributes = {
    "hidden_size": spec.dim,
    "intermediate_size": block.ffn.hidden,
    "num_attention_heads": block.attention.heads,
    "num_hidden_layers": len(spec.encoder.blocks),
    "max_position_embeddings": position.length,
    "vocab_size": spec.vocab,
    "type_vocab_size": spec.embed.types,
    "layer_norm_eps": block.norm.eps,
    "hidden_act": THEIRS_BY_ACT.get(block.ffn.act, block.ffn.act),
    "hidden_dropout_prob": spec.dropout,
    "attention_probs_dropout_prob": spec.dropout,
    "tie_word_embeddings": spec.head.tied,
  }
  if isinstance(spec.embed, NarrowEmbed):
    attributes["embedding_size"] = spec.embed.width
  return attributes


def rows(names: Names, spec: Encoder) -> Iterator[Row]:
  """The path table."""
  tables = f"{names.base}.embeddings"
  yield from outside(
    [
      ("token_embedder/embedding", f"{tables}.word_embeddings.weight", SAME),
      (
        "token_embedder/position/embedding",
        f"{tables}.position_embeddings.weight",
        SAME,
      ),
      ("token_embedder/types", f"{tables}.token_type_embeddings.weight", SAME),
      *norm("token_embedder/norm", f"{tables}.LayerNorm", bias=True),
      *dense("head/transform/dense", names.head, bias=True),
      *norm("head/transform/norm", names.head_norm, bias=True),
      ("head/bias", names.head_bias, SAME),
    ]
  )
  for head in spec.pooled:
    yield from outside(
      [
        *dense(f"{head.label}_head/pooler", names.pooler, bias=True),
        *dense(f"{head.label}_head/classifier", names.judge, bias=True),
      ]
    )
  stack = spec.encoder
  if isinstance(spec.embed, NarrowEmbed):
    widen = f"{names.base}.encoder.embedding_hidden_mapping_in"
    yield from outside(dense("token_embedder/widen", widen, bias=True))
    stack = Stack(blocks=stack.blocks[:1])  # all layers are this one
  yield from layers(stack, "encoder", functools.partial(_layer, names))


def _layer(names: Names, block: object, number: int) -> Iterator[Line]:
  layer = names.layer.format(number)
  theirs = {ours: f"{layer}.{part}" for ours, part in names.parts.items()}
  yield from projections(block.attention, "attention", theirs)
  yield from norm("attention_norm", theirs["attention_norm"], bias=True)
  yield from dense("ffn/up", theirs["up"], bias=True)
  yield from dense("ffn/down", theirs["down"], bias=True)
  yield from norm("ffn_norm", theirs["ffn_norm"], bias=True)


def _act(name: str) -> str:
  if name not in OURS_BY_ACT:
    raise ValueError(
      f"config.json: hidden_act={name!r} is not among {', '.join(OURS_BY_ACT)}. Such a "
      "model cannot be imported."
    )
  return OURS_BY_ACT[name]


def _format(kind: str, architecture: str, names: Names, read, decoder: str) -> Format:
  table = f"{names.base}.embeddings.word_embeddings.weight"
  return Format(
    model_type=kind,
    architecture=architecture,
    read=read,
    write=write,
    rows=functools.partial(rows, names),
    copies=((rf"{decoder}\.weight", table), (rf"{decoder}\.bias", names.head_bias)),
    unused=(r".*embeddings\.position_ids", r".*embeddings\.token_type_ids"),
  )


FORMATS = (
  _format("bert", "BertForPreTraining", BERT, read_bert, r"cls\.predictions\.decoder"),
  _format("roberta", "RobertaForMaskedLM", ROBERTA, read_roberta, r"lm_head\.decoder"),
  _format(
    "albert", "AlbertForPreTraining", ALBERT, read_albert, r"predictions\.decoder"
  ),
)
