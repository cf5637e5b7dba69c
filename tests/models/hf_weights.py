"""Names and layouts of transformers' weights, in ours. Shared by the parity tests.

You are in: tests. Each function takes {transformers' name: array} and gives {our path:
array}, stacked over layers. The maps are linear, so they carry gradients as well. In
PyTorch a `Linear` weight is [out, in]; GPT-2's `Conv1D` is [in, out].
"""

import numpy as np


def t5(weights: dict, spec) -> dict:
  """T5, MT5 and UMT5ForConditionalGeneration."""
  out = {"token_embedder/embedding": weights["shared.weight"]}
  for side in ("encoder", "decoder"):
    stack = getattr(spec, side)
    out |= _t5_stack(weights, side, stack)
  if not spec.head.tied:
    out["head/kernel"] = weights["lm_head.weight"].T
  return out


def _t5_stack(weights, side, stack):
  attention, blocks = stack.blocks[0].attention, f"{side}/blocks_0"
  parts = [("attention", "layer.0.SelfAttention", "layer.0")]
  if side == "decoder":
    parts.append(("cross", "layer.1.EncDecAttention", "layer.1"))
  last = f"layer.{len(parts)}"

  def layers(name):
    names = [f"{side}.block.{i}.{name}.weight" for i in range(len(stack.blocks))]
    return np.stack([weights[n] for n in names])

  out = {f"{side}/final_norm/scale": weights[f"{side}.final_layer_norm.weight"]}
  for ours, theirs, norm in parts:
    out[f"{blocks}/{ours}_norm/scale"] = layers(f"{norm}.layer_norm")
    for name, short in (("query", "q"), ("key", "k"), ("value", "v")):
      kernel = layers(f"{theirs}.{short}")
      out[f"{blocks}/{ours}/{name}/kernel"] = heads_out(kernel, attention.heads)
    kernel = layers(f"{theirs}.o")
    out[f"{blocks}/{ours}/out/kernel"] = heads_in(kernel, attention.heads)
  out[f"{blocks}/ffn_norm/scale"] = layers(f"{last}.layer_norm")
  ffn = {"gate": "wi_0", "up": "wi_1", "down": "wo"}
  if f"{side}.block.0.{last}.DenseReluDense.wi.weight" in weights:
    ffn = {"up": "wi", "down": "wo"}
  for ours, theirs in ffn.items():
    kernel = layers(f"{last}.DenseReluDense.{theirs}")
    out[f"{blocks}/ffn/{ours}/kernel"] = kernel.swapaxes(1, 2)
  table = "layer.0.SelfAttention.relative_attention_bias"
  if stack.position is None:
    own = layers(table).swapaxes(1, 2)
    out[f"{blocks}/attention/relative_bias/embedding"] = own
  else:
    out[f"{side}/position/embedding"] = weights[f"{side}.block.0.{table}.weight"].T
  return out


def llama(weights: dict, spec) -> dict:
  """LlamaForCausalLM."""
  attention, blocks = spec.decoder.blocks[0].attention, "decoder/blocks_0"

  def layers(name):
    count = len(spec.decoder.blocks)
    return np.stack([weights[f"model.layers.{i}.{name}.weight"] for i in range(count)])

  out = {
    "token_embedder/embedding": weights["model.embed_tokens.weight"],
    "decoder/final_norm/scale": weights["model.norm.weight"],
    f"{blocks}/attention_norm/scale": layers("input_layernorm"),
    f"{blocks}/ffn_norm/scale": layers("post_attention_layernorm"),
  }
  kv_heads = attention.kv_heads or attention.heads
  for ours, theirs, heads in (
    ("query", "q_proj", attention.heads),
    ("key", "k_proj", kv_heads),
    ("value", "v_proj", kv_heads),
  ):
    kernel = heads_out(layers(f"self_attn.{theirs}"), heads)
    out[f"{blocks}/attention/{ours}/kernel"] = kernel
  kernel = heads_in(layers("self_attn.o_proj"), attention.heads)
  out[f"{blocks}/attention/out/kernel"] = kernel
  for name in ("gate", "up", "down"):
    out[f"{blocks}/ffn/{name}/kernel"] = layers(f"mlp.{name}_proj").swapaxes(1, 2)
  if not spec.head.tied:
    out["head/kernel"] = weights["lm_head.weight"].T
  return out


def gpt2(weights: dict, spec) -> dict:
  """GPT2LMHeadModel."""
  attention, blocks = spec.decoder.blocks[0].attention, "decoder/blocks_0"

  def layers(name):
    count = len(spec.decoder.blocks)
    return np.stack([weights[f"transformer.h.{i}.{name}"] for i in range(count)])

  out = {
    "token_embedder/embedding": weights["transformer.wte.weight"],
    "token_embedder/position/embedding": weights["transformer.wpe.weight"],
    "decoder/final_norm/scale": weights["transformer.ln_f.weight"],
    "decoder/final_norm/bias": weights["transformer.ln_f.bias"],
  }
  for ours, theirs in (("attention_norm", "ln_1"), ("ffn_norm", "ln_2")):
    out[f"{blocks}/{ours}/scale"] = layers(f"{theirs}.weight")
    out[f"{blocks}/{ours}/bias"] = layers(f"{theirs}.bias")
  kernels = np.split(layers("attn.c_attn.weight"), 3, axis=-1)
  biases = np.split(layers("attn.c_attn.bias"), 3, axis=-1)
  split = (attention.heads, attention.head_dim)
  for name, kernel, bias in zip(
    ("query", "key", "value"), kernels, biases, strict=True
  ):
    out[f"{blocks}/attention/{name}/kernel"] = kernel.reshape(*kernel.shape[:2], *split)
    out[f"{blocks}/attention/{name}/bias"] = bias.reshape(bias.shape[0], *split)
  kernel = layers("attn.c_proj.weight")
  kernel = kernel.reshape(kernel.shape[0], *split, kernel.shape[-1])
  out[f"{blocks}/attention/out/kernel"] = kernel
  out[f"{blocks}/attention/out/bias"] = layers("attn.c_proj.bias")
  for ours, theirs in (("up", "c_fc"), ("down", "c_proj")):
    out[f"{blocks}/ffn/{ours}/kernel"] = layers(f"mlp.{theirs}.weight")
    out[f"{blocks}/ffn/{ours}/bias"] = layers(f"mlp.{theirs}.bias")
  return out


def heads_out(kernels: np.ndarray, heads: int) -> np.ndarray:
  """[layers, heads * kv, embed] -> [layers, embed, heads, kv]."""
  layers, width, dim = kernels.shape
  return kernels.swapaxes(1, 2).reshape(layers, dim, heads, width // heads)


def heads_in(kernels: np.ndarray, heads: int) -> np.ndarray:
  """[layers, embed, heads * kv] -> [layers, heads, kv, embed]."""
  layers, dim, width = kernels.shape
  return kernels.swapaxes(1, 2).reshape(layers, heads, width // heads, dim)
