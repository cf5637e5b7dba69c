"""SantaCoder and StarCoder: GPT-2's names, Linears, and one head of keys and values.

You are in: t5x_like/interop/formats. `c_attn` holds all queries, then the key, then the
value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from models.components.model import Decoder
from models.families.gpt_bigcode import gpt_bigcode
from t5x_like.interop.attributes import Attributes
from t5x_like.interop.formats import gpt2
from t5x_like.interop.hf import Format, Made
from t5x_like.interop.layout import Fused
from t5x_like.interop.names import SAME, Line, Row, dense, heads_in, layers, norm

TANH = "gelu_pytorch_tanh"


def read(attributes: Attributes, stored: Collection[str]) -> Made:
  attributes.fixed(
    multi_query=True,
    activation_function=frozenset({"gelu", "gelu_new", TANH}),
  )
  # Derived from it; where a softmax rounds; how their inference server ran.
  attributes.ignore(
    "num_key_value_heads",
    "attention_softmax_in_fp32",
    "scale_attention_softmax_in_fp32",
    "inference_runner",
    "max_batch_size",
    "max_sequence_length",
    "pad_key_length",
    "pre_allocate_kv_cache",
    "validate_runner_input",
  )
  exact = attributes.take("activation_function", default=TANH) == "gelu"
  sizes = gpt2.sizes(attributes)
  return Made(gpt_bigcode, sizes | (dict(act="gelu") if exact else {}))


def write(spec: Decoder) -> dict:
  kv_heads = spec.decoder.blocks[0].attention.kv_heads
  act = {"gelu_tanh": TANH, "gelu": "gelu"}[spec.decoder.blocks[0].ffn.act]
  return gpt2.write(spec) | {"multi_query": kv_heads == 1, "activation_function": act}


def rows(spec: Decoder) -> Iterator[Row]:
  yield from gpt2.around(spec)
  yield from layers(spec.decoder, "decoder", _layer)


def _layer(block: object, number: int) -> Iterator[Line]:
  name, attention = f"transformer.h.{number}", block.attention
  yield from norm("attention_norm", f"{name}.ln_1", bias=True)
  yield from norm("ffn_norm", f"{name}.ln_2", bias=True)
  one, every = attention.head_dim, attention.heads * attention.head_dim
  key = (one, "(k h) d -> d k h")
  kernel = Fused(
    "f d -> f d", (every, "(n h) d -> d n h"), key, key, n=attention.heads, k=1
  )
  paths = [f"attention/{part}" for part in ("query", "key", "value")]
  yield tuple(f"{path}/kernel" for path in paths), f"{name}.attn.c_attn.weight", kernel
  key = (one, "(k h) -> k h")
  bias = Fused("f -> f", (every, "(n h) -> n h"), key, key, n=attention.heads, k=1)
  yield tuple(f"{path}/bias" for path in paths), f"{name}.attn.c_attn.bias", bias
  out = heads_in(attention.heads)
  yield "attention/out/kernel", f"{name}.attn.c_proj.weight", out
  yield "attention/out/bias", f"{name}.attn.c_proj.bias", SAME
  yield from dense("ffn/up", f"{name}.mlp.c_fc", bias=True)
  yield from dense("ffn/down", f"{name}.mlp.c_proj", bias=True)


FORMATS = (
  Format(
    model_type="gpt_bigcode",
    architecture="GPTBigCodeForCausalLM",
    read=read,
    write=write,
    rows=rows,
    prefix="transformer.",
    copies=((r"lm_head\.weight", "transformer.wte.weight"),),
    unused=(r"(transformer\.)?h\.\d+\.attn\.bias",),  # causal masks
  ),
)
