"""Parity of AlexaTM with transformers: mBART, whose norms also come first, without its
norm of the embedding and with a table for each side and for the head.

mBART's encoder has two rows of positions that nothing reads and no types; ours is changed
to that here. Types are compared in test_parity_encoders.py, with BERT."""

import functools
from collections.abc import Iterator

import numpy as np
import test_parity as parity
import torch
import transformers

from models.components.embed import Embed
from models.components.param import declarations
from models.components.position import Learned
from models.components.spec import replace
from models.families.alexatm import alexatm
from t5x_like.interop.names import (
  SAME,
  Row,
  dense,
  layers,
  norm,
  outside,
  projections,
  to_ours,
)

NAME = "AlexaTM, three tables"
PROJECTIONS = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "out_proj"}
PARTS = {"attention": "self_attn", "cross": "encoder_attn"}


def spec():
  made = alexatm(
    dim=32, heads=4, layers=2, decoder_layers=3, length=300, vocab=parity.VOCAB
  )
  return replace(
    made, encoder_embed=Embed(std=0.02, position=Learned(length=302, offset=2))
  )


def theirs() -> torch.nn.Module:
  config = transformers.MBartConfig(
    vocab_size=parity.VOCAB,
    d_model=32,
    encoder_layers=2,
    decoder_layers=3,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=128,
    decoder_ffn_dim=128,
    max_position_embeddings=300,
    tie_word_embeddings=False,
    pad_token_id=None,
    attn_implementation="eager",
  )
  model = transformers.MBartForConditionalGeneration(config)
  for side in (model.model.encoder, model.model.decoder):
    side.embed_tokens = torch.nn.Embedding(parity.VOCAB, 32)
    side.layernorm_embedding = torch.nn.Identity()
  del model.model.shared
  for module in model.modules():
    if isinstance(module, torch.nn.LayerNorm):
      module.eps = 1e-12
  return model


def rows(spec) -> Iterator[Row]:
  yield from outside(dense("head", "lm_head"))
  tables = {"encoder": "encoder_embedder", "decoder": "token_embedder"}
  for side, ours in tables.items():
    path = f"model.{side}"
    positions = (f"{ours}/position/embedding", f"{path}.embed_positions.weight", SAME)
    yield from outside([(f"{ours}/embedding", f"{path}.embed_tokens.weight", SAME)])
    yield from outside([positions])
    yield from outside(norm(f"{side}/final_norm", f"{path}.layer_norm", bias=True))
    stack = getattr(spec, side)
    yield from layers(stack, side, functools.partial(layer, path))


def layer(path, block, number):
  start = f"{path}.layers.{number}"
  for ours, name in PARTS.items():
    if (part := getattr(block, ours)) is not None:
      names = {key: f"{start}.{name}.{value}" for key, value in PROJECTIONS.items()}
      yield from projections(part, ours, names)
      yield from norm(f"{ours}_norm", f"{start}.{name}_layer_norm", bias=True)
  yield from norm("ffn_norm", f"{start}.final_layer_norm", bias=True)
  yield from dense("ffn/up", f"{start}.fc1", bias=True)
  yield from dense("ffn/down", f"{start}.fc2", bias=True)


@functools.cache
def result() -> parity.Result:
  weights = lambda tensors, spec: to_ours(rows(spec), tensors, declarations(spec))
  data = parity.batch(encoder=True)
  for side in ("encoder", "decoder"):  # mBART counts padding, too
    shape = data[f"{side}_positions"].shape
    data[f"{side}_positions"] = np.broadcast_to(np.arange(shape[1], dtype="i4"), shape)
  return parity.compared(parity.Case(spec(), theirs, weights), data)


def test_logits_equal_those_of_transformers(update_golden):
  parity.check_logits(NAME, parity.Case(None, theirs, None), result(), update_golden)


def test_gradients_equal_those_of_autograd(update_golden):
  parity.check_gradients(NAME, result(), update_golden)
