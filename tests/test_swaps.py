"""Swaps: one line of gin replaces a part in any family, and the result trains."""

import jax
import numpy as np
import pytest

from models.components.spec import walk
from t5x_like import config
from t5x_like.engine import Engine

ENCODER, DECODER, ROWS, STEPS = 12, 16, 4, 12
SHAPES = {
  "encoder_input_tokens": (ROWS, ENCODER),
  "decoder_input_tokens": (ROWS, DECODER),
  "decoder_target_tokens": (ROWS, DECODER),
}
CASES = {
  "RoPE by ALiBi in LLaMA": (
    "llama/tiny",
    "SWAPS = {'Rope': @bias.ALiBi()}",
    ("Rope", "ALiBi"),
  ),
  "RoPE by xPos in LLaMA": (
    "llama/tiny",
    "SWAPS = {'Rope': @xpos.XPos()}",
    ("Rope", "XPos"),
  ),
  "LayerNorm by RMSNorm in BLOOM": (
    "bloom/tiny",
    "SWAPS = {'LayerNorm': @norm.RMSNorm()}",
    ("LayerNorm", "RMSNorm"),
  ),
  "dense by experts in T5": (
    "t5_1_1/tiny",
    "SWAPS = {'GatedFFN': @moe.MoE()}",
    (None, "MoE"),
    "moe.MoE.experts = 4",
    "moe.MoE.expert = @ffn.GatedFFN()",
    "moe.MoE.router = @routers.TopK()",
    "ffn.GatedFFN.hidden = 32",
    "routers.TopK.k = 2",
  ),
  "pre-norm by sub-LN in T5": (
    "t5_1_1/tiny",
    "SWAPS = {'Block': @sub_norm.SubNorm()}",
    ("Block", "SubNormBlock"),
  ),
  "two parts at once in GPT-2": (
    "gpt2/tiny",
    "SWAPS = {'Learned': @position.Sinusoidal(), 'LayerNorm': @norm.PlainLayerNorm()}",
    ("Learned", "Sinusoidal"),
  ),
}


def run(model: str, *bindings: str):
  given = (
    "MODEL_DIR = unused",
    "TRAIN_STEPS = 100",
    f"BATCH_SIZE = {ROWS}",
    "OPTIMIZER = @optim.AdamW()",
    "optim.AdamW.learning_rate = 1e-2",
  )
  encoder = model.startswith("t5")
  task = "python_docs" if encoder else "python_docs_causal_lm"
  lengths = {"inputs": ENCODER, "targets": DECODER} if encoder else {"targets": DECODER}
  files = [f"models/{model}.gin", "runs/pretrain.gin"]
  more = (f"MIXTURE_OR_TASK_NAME = {task}", f"TASK_FEATURE_LENGTHS = {lengths}")
  return config.parse(files, (*given, *more, *bindings)).build()


@pytest.mark.parametrize("name", CASES)
def test_one_line_replaces_a_part_and_the_model_trains(name):
  model, line, (gone, new), *rest = CASES[name]
  made = run(model, line, *rest)
  parts = {type(node).__name__ for _, node in walk(made.model)}
  assert new in parts and gone not in parts
  engine = Engine(made)
  rng = np.random.default_rng(0)
  names = {f"{side}_input_tokens" for side in ("encoder", "decoder")}
  batch = {
    key: rng.integers(1, 100, shape).astype(np.int32)
    for key, shape in SHAPES.items()
    if key not in names or hasattr(made.model, key.split("_")[0])
  } | {"decoder_loss_weights": np.ones((ROWS, DECODER), np.float32)}
  state, losses = engine.initial_state(), []
  for _ in range(STEPS):
    state, metrics = engine.train_step(state, engine.put(batch))
    losses.append(float(metrics["loss"]))
  # One batch again and again: it is learned by heart.
  assert losses[-1] < losses[0] - 1.0, losses
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_a_part_that_is_not_there_is_named_with_those_that_are():
  with pytest.raises(ValueError, match=r"Swap.old='Rope' names no part .* Learned"):
    run("gpt2/tiny", "SWAPS = {'Rope': @bias.ALiBi()}")
