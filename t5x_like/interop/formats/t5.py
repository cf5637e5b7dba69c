"""T5, mT5, umT5, and ByT5 and T5 v1.1, whose model_type is t5 as well.

You are in: t5x_like/interop/formats. The classes of transformers 5 tie the head to the
embedding whatever config.json says, unless a head of its own is stored; so that decides
here too. Whether the decoder's output is scaled by dim**-0.5 is another matter:
`scale_decoder_outputs`, or before it `tie_word_embeddings`, says so for t5; mt5 never
scales; umt5 should not, but its class always does before transformers 5.24, and after it
as t5. Its files are read as Google's models are meant, and only if they say so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from models.components.embed import Head
from models.components.ffn import FFN, GatedFFN
from models.components.model import EncoderDecoder
from models.components.position import RelativeBias
from models.components.stack import Stack
from models.families.t5 import t5, t5_1_1, umt5
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.hf import Format, Made
from t5x_like.interop.layout import Move
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

HEAD = "lm_head.weight"
TABLE = Move("b n -> n b")  # relative_attention_bias
# Their names of the activations; "gated-gelu" has always meant the tanh approximation.
ACTIVATIONS = {
  "gelu": "gelu_tanh",
  "gelu_new": "gelu_tanh",
  "relu": "relu",
  "silu": "silu",
}
NAMES = {"gelu_tanh": "gelu", "relu": "relu", "silu": "silu"}
SHORT = {"query": "q", "key": "k", "value": "v", "out": "o"}
COPIES = ((r"(encoder|decoder)\.embed_tokens\.weight", "shared.weight"),)


def read_t5(attributes: Attributes, stored: Collection[str]) -> Made:
  found, gated, act = sizes(attributes)
  scaled = _scaled(attributes)
  return _made(found, gated, act, tied=HEAD not in stored, scaled=scaled)


def _scaled(attributes: Attributes) -> bool:
  """Whether the decoder's output is scaled; the later name wins."""
  scaled = attributes.take("tie_word_embeddings", default=True)
  return attributes.take("scale_decoder_outputs", default=scaled)


def read_mt5(attributes: Attributes, stored: Collection[str]) -> Made:
  found, gated, act = sizes(attributes)
  attributes.ignore("tie_word_embeddings")
  return _made(found, gated, act, tied=HEAD not in stored, scaled=False)


def read_umt5(attributes: Attributes, stored: Collection[str]) -> Made:
  found, gated, act = sizes(attributes)
  attributes.ignore("scalable_attention")
  if _scaled(attributes) or HEAD not in stored:
    raise ValueError(
      "config.json: neither scale_decoder_outputs nor tie_word_embeddings is false. "
      "Google's umT5 has an own, unscaled head, but transformers 5 writes true whatever the "
      "model was. If these weights are Google's or tuned from them, set "
      "scale_decoder_outputs to false in the file."
    )
  if not gated or act != "gelu_tanh":
    raise ValueError("config.json: feed_forward_proj of umt5 must be 'gated-gelu'.")
  return Made(umt5, found)


def sizes(attributes: Attributes) -> tuple[dict, bool, str]:
  """(arguments of the builders, whether gated, activation)."""
  take = attributes.take
  attributes.fixed(
    relative_attention_num_buckets=32,
    relative_attention_max_distance=128,
    layer_norm_epsilon=1e-6,
    is_encoder_decoder=True,
    is_decoder=False,
  )
  # Derived from feed_forward_proj, and "n_positions" is of no use to these models.
  attributes.ignore("dense_act_fn", "is_gated_act", "n_positions", "output_past")
  kind = take("feed_forward_proj", default="relu")
  act = kind.removeprefix("gated-")
  if act not in ACTIVATIONS:
    raise ValueError(f"config.json: feed_forward_proj={kind!r} is not known here.")
  layers = take("num_layers")
  decoder_layers = take("num_decoder_layers", default=layers)
  found = dict(
    dim=take("d_model"),
    hidden=take("d_ff"),
    heads=take("num_heads"),
    head_dim=take("d_kv"),
    layers=layers,
    vocab=take("vocab_size"),
  )
  if decoder_layers != layers:
    found["decoder_layers"] = decoder_layers
  # transformers computes plain "gelu" exactly, and "gated-gelu" by tanh.
  named = "gelu" if kind == "gelu" else ACTIVATIONS[act]
  return found, kind != act, named


def _made(sizes: dict, gated: bool, act: str, *, tied: bool, scaled: bool) -> Made:
  if gated and act == "gelu_tanh" and not tied and not scaled:
    return Made(t5_1_1, sizes)
  if not gated and act == "relu" and tied and scaled:
    return Made(t5, sizes)
  head = Head(tied=tied, scale=sizes["dim"] ** -0.5 if scaled else 1.0)
  ffn = (GatedFFN if gated else FFN)(hidden=sizes["hidden"], act=act)
  return Made(t5, sizes | dict(ffn=ffn, head=head))


def write(spec: EncoderDecoder) -> dict:
  """The attributes that all of them share."""
  block, tied = spec.encoder.blocks[0], spec.head.tied
  act = NAMES.get(block.ffn.act, block.ffn.act)
  scaled = spec.head.scale != 1.0
  return {
    "d_model": spec.dim,
    "d_ff": block.ffn.hidden,
    "d_kv": block.attention.head_dim,
    "num_heads": block.attention.heads,
    "num_layers": len(spec.encoder.blocks),
    "num_decoder_layers": len(spec.decoder.blocks),
    "vocab_size": spec.vocab,
    "feed_forward_proj": f"gated-{act}" if isinstance(block.ffn, GatedFFN) else act,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "dropout_rate": spec.dropout,
    "is_encoder_decoder": True,
    "tie_word_embeddings": tied or scaled,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
  }


def write_scaled(spec: EncoderDecoder) -> dict:
  # The one that transformers 5 obeys, where both are there.
  return write(spec) | {"scale_decoder_outputs": spec.head.scale != 1.0}


def feed_forward(ffn: FFN | GatedFFN, theirs: str) -> Iterator[Line]:
  """wi, wo; or wi_0, wi_1, wo."""
  gated = {"gate": "wi_0", "up": "wi_1", "down": "wo"}
  names = gated if isinstance(ffn, GatedFFN) else {"up": "wi", "down": "wo"}
  for ours, name in names.items():
    yield from dense(f"ffn/{ours}", f"{theirs}.DenseReluDense.{name}")


def rows(spec: EncoderDecoder, feed_forward: Callable = feed_forward) -> Iterator[Row]:
  """The path table of all of them. feed_forward: lines of that part of a layer."""
  yield from outside([("token_embedder/embedding", "shared.weight", SAME)])
  if not spec.head.tied:
    yield from outside(dense("head", "lm_head"))
  for side in ("encoder", "decoder"):
    yield from _stack(getattr(spec, side), side, feed_forward)


def _stack(stack: Stack, side: str, feed_forward: Callable) -> Iterator[Row]:
  yield from outside(norm(f"{side}/final_norm", f"{side}.final_layer_norm"))
  if stack.position is not None:
    table = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    yield from outside([(f"{side}/position/embedding", table, TABLE)])

  def lines(block: object, number: int) -> Iterator[Line]:
    layer = f"{side}.block.{number}.layer"
    parts = [("attention", "SelfAttention"), ("cross", "EncDecAttention")]
    parts = parts if block.cross else parts[:1]
    for place, (ours, theirs) in enumerate(parts):
      yield from norm(f"{ours}_norm", f"{layer}.{place}.layer_norm")
      name = f"{layer}.{place}.{theirs}"
      full = {one: f"{name}.{short}" for one, short in SHORT.items()}
      yield from projections(getattr(block, ours), ours, full)
      if isinstance(getattr(block, ours).position, RelativeBias):
        table = f"{name}.relative_attention_bias.weight"
        yield f"{ours}/relative_bias/embedding", table, TABLE
    last = f"{layer}.{len(parts)}"
    yield from norm("ffn_norm", f"{last}.layer_norm")
    yield from feed_forward(block.ffn, last)

  yield from layers(stack, side, lines)


# An unused table of cross-attention, stored by early versions.
EARLY = r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"

FORMATS = (
  Format(
    model_type="t5",
    architecture="T5ForConditionalGeneration",
    read=read_t5,
    write=write_scaled,
    rows=rows,
    copies=COPIES,
    unused=(EARLY,),
  ),
  Format(
    model_type="mt5",
    architecture="MT5ForConditionalGeneration",
    read=read_mt5,
    write=write,
    rows=rows,
    copies=COPIES,
    unused=(EARLY,),
  ),
  Format(
    model_type="umt5",
    architecture="UMT5ForConditionalGeneration",
    read=read_umt5,
    write=write_scaled,
    rows=rows,
    copies=COPIES,
  ),
)
