"""Encoders through the verbs: trained from gin files on text, evaluated, inspected."""

import json

import jax
import numpy as np
import pytest

from models.components import param
from models.zoo import ZOO
from t5x_like import main, step

# Objective of each model: also the name of its head for a row as a whole.
CASES = {"bert": "next_sentence", "albert": "sentence_order"}
SYMBOLS = "vocab.TrainedSentencePiece.user_symbols = ['[MASK]', '[CLS]', '[SEP]']"
STEPS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Documents of six sentences, half of whose words are the same in all of them."""
  path = tmp_path_factory.mktemp("encoders")
  random = np.random.default_rng(0)
  words = "whales sing songs at night under cold seas while sailors sleep".split()
  sentence = lambda: "The " + " ".join(random.choice(words, 5)) + "."
  lines = [" ".join(sentence() for _ in range(6)) for _ in range(120)]
  (path / "text.txt").write_text("\n".join(lines))
  return path


def flags(folder, name):
  return [
    f"--gin_file=models/{name}/tiny.gin",
    "--gin_file=runs/pretrain.gin",
    f"--gin_file=objectives/{CASES[name]}.gin",
    "--gin.MIXTURE_OR_TASK_NAME=text_files",
    f"--gin.TEXT_FILES={folder / 'text.txt'}",
    "--gin.VALIDATION_FRACTION=0.1",
    "--gin.VOCABULARY_SIZE=388",
    f"--gin_bindings={SYMBOLS}",
    "--gin.TASK_FEATURE_LENGTHS={'inputs': 32}",
    "--gin.OPTIMIZER=@optim.AdamW()",
    "--gin.optim.AdamW.learning_rate=3e-3",
    f"--gin.TRAIN_STEPS={STEPS}",
    "--gin.BATCH_SIZE=8",
    "--gin.LOG_PERIOD=10",
    "--gin.EVAL_STEPS=2",
    f"--gin.MODEL_DIR={folder / name}",
    f"--data_dir={folder / 'data'}",
  ]


@pytest.mark.parametrize("name", CASES)
def test_an_encoder_learns_from_its_gin_files_and_is_evaluated(folder, name, capsys):
  assert main.main(["train", *flags(folder, name)]) == 0
  assert "infer" not in capsys.readouterr().err  # nothing that an encoder cannot do
  ledger = (folder / name / "metrics.jsonl").read_text().splitlines()
  lines = [json.loads(line) for line in ledger]
  losses = [line["loss"] for line in lines if "loss" in line]
  assert losses[-1] < 0.85 * losses[0]
  assert CASES[name] in lines[0]
  assert main.main(["eval", f"--model_dir={folder / name}", "--json"]) == 0
  values = json.loads(capsys.readouterr().out)
  assert {CASES[name], "loss", "accuracy"} <= values.keys()
  # Before training every id is as likely; the table has 2048 rows.
  assert values["loss"] < 0.85 * np.log(2048)


def test_an_encoder_is_inspected_with_its_data_and_generates_nothing(folder, capsys):
  assert main.main(["inspect", *flags(folder, "bert")]) == 0
  shown = capsys.readouterr().out
  assert "next_sentence_head/pooler/kernel" in shown
  words = ["infer", *flags(folder, "bert"), "--prompt=The whale"]
  assert main.main(words) == 2
  error = capsys.readouterr().err
  assert error.startswith("error: Encoder has no decoder: it answers in place")
  assert error.count("\n") == 1


def test_labels_of_rows_count_where_no_token_is_asked_for():
  """As in ERNIE's sentence distance: the gradient is the head's own, for two batches
  summed as for one."""
  spec = ZOO["bert/tiny"].spec()
  plan = step.Plan(module=spec.build(), seed=0)
  params = param.draw(param.declarations(plan.module), seed=0)
  tokens = np.arange(1, 17, dtype=np.int32).reshape(2, 8)
  batch = {
    "encoder_input_tokens": tokens,
    "encoder_target_tokens": tokens,
    "encoder_loss_weights": np.zeros((2, 8), np.float32),
    "next_sentence": np.array([[1], [1]], np.int32),
  }
  grads, sums = jax.jit(lambda p: step.gradients(plan, p, batch, None))(params)
  head = grads["next_sentence_head"]["classifier"]["bias"]
  assert np.abs(head).max() > 1e-3
  one = step.per_token(sums)
  both = step.per_token({name: 2 * value for name, value in sums.items()})
  assert one["next_sentence"] == both["next_sentence"] > 0
