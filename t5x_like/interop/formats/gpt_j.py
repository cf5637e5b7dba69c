"""GPT-J and CodeGen, whose queries, values and keys are in one tensor.

You are in: t5x_like/interop/formats.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from models.components.attention import Attention
from models.components.model import Decoder
from models.families.gpt_j import codegen, gpt_j
from t5x_like.interop.activations import THEIRS
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
  projections,
)

GROUPS = 4  # devices of the released training run, whatever the size


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  return Made(gpt_j, _sizes(attributes))


def read_codegen(attributes: Attributes, stored: Collection[str]) -> Made:
  sizes = _sizes(attributes)
  if sizes["heads"] % GROUPS:
    raise ValueError(
      f"config.json: n_head={sizes['heads']} must be a multiple of {GROUPS}, the groups "
      "of CodeGen's fused tensor. 'gptj' computes the same with any number of heads."
    )
  return Made(codegen, sizes)


def _sizes(attributes: Attributes) -> dict:
  take = attributes.take
  dim = take("n_embd", "hidden_size")
  attributes.fixed(
    n_inner=4 * dim,
    activation_function=frozenset({"gelu_new", "gelu_pytorch_tanh"}),
    layer_norm_epsilon=1e-5,
    rotary=True,
    scale_attn_weights=True,
    tie_word_embeddings=False,
  )
  attributes.ignore("n_positions", "n_ctx")
  return dict(
    dim=dim,
    heads=take("n_head"),
    layers=take("n_layer"),
    rotary_dim=take("rotary_dim"),
    vocab=take("vocab_size"),
  )


def write(spec: Decoder) -> dict:
  block = spec.decoder.blocks[0]
  return {
    "n_embd": spec.dim,
    "n_head": block.attention.heads,
    "n_layer": len(spec.decoder.blocks),
    "n_inner": block.ffn.hidden,
    "rotary_dim": block.attention.position.dims,
    "vocab_size": spec.vocab,
    "activation_function": THEIRS[block.ffn.act],
    "layer_norm_epsilon": block.norm.eps,
    "tie_word_embeddings": spec.head.tied,
  }


def rows(spec: Decoder) -> Iterator[Row]:
  yield from _rows(spec, _four)


def rows_codegen(spec: Decoder) -> Iterator[Row]:
  yield from _rows(spec, _grouped)


def _rows(
  spec: Decoder, attention: Callable[[Attention, str], Iterable[Line]]
) -> Iterator[Row]:
  """attention(spec, name) are the lines of its kernels."""

  def layer(block: object, number: int) -> Iterator[Line]:
    name = f"transformer.h.{number}"
    yield from norm("attention_norm", f"{name}.ln_1", bias=True)
    yield from attention(block.attention, f"{name}.attn")
    yield from dense("ffn/up", f"{name}.mlp.fc_in", bias=True)
    yield from dense("ffn/down", f"{name}.mlp.fc_out", bias=True)

  yield from outside(
    [
      ("token_embedder/embedding", "transformer.wte.weight", SAME),
      *norm("decoder/final_norm", "transformer.ln_f", bias=True),
      *dense("head", "lm_head", bias=True),
    ]
  )
  yield from layers(spec.decoder, "decoder", layer)


def _four(attention: Attention, name: str) -> Iterator[Line]:
  parts = {"query": "q", "key": "k", "value": "v", "out": "out"}
  theirs = {ours: f"{name}.{one}_proj" for ours, one in parts.items()}
  yield from projections(attention, "attention", theirs)


def _grouped(attention: Attention, name: str) -> Iterator[Line]:
  """Heads in groups, and in each its queries, then values, then keys."""
  own = dict(m=GROUPS, n=attention.heads // GROUPS, h=attention.head_dim)
  third = (1, "c m n h d -> d (c m n) h")
  kernel = Fused("(m c n h) d -> c m n h d", third, third, third, **own)
  paths = tuple(f"attention/{one}/kernel" for one in ("query", "value", "key"))
  yield paths, f"{name}.qkv_proj.weight", kernel
  yield "attention/out/kernel", f"{name}.out_proj.weight", heads_in(attention.heads)


# Causal masks.
UNUSED = (r"transformer\.h\.\d+\.attn\.((masked_)?bias|causal_mask)",)

FORMATS = (
  Format(
    model_type="gptj",
    architecture="GPTJForCausalLM",
    read=read,
    write=write,
    rows=rows,
    unused=UNUSED,
  ),
  Format(
    model_type="codegen",
    architecture="CodeGenForCausalLM",
    read=read_codegen,
    write=write,
    rows=rows_codegen,
    unused=UNUSED,
  ),
)
