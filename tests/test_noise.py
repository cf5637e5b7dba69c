"""The gradient noise of a run: beside gradients of single examples, and in the ledger."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest

from models.components.param import flatten
from models.families import llama
from t5x_like import config, noise, optim, step, train
from t5x_like.data import layouts, sources, task, vocab
from t5x_like.data.objectives.causal_lm import CausalLM
from t5x_like.engine import Engine
from t5x_like.freeze import Freeze
from t5x_like.identity import identity
from t5x_like.loss_scale import Dynamic
from t5x_like.run import Run
from t5x_like.study.noise_scale import NoiseScale, estimates

FAST_COMPILE = {"xla_backend_optimization_level": 0}
ROWS, LENGTH = 4, 8


def run(**changes):
  options = dict(
    model=llama.llama(dim=32, hidden=64, heads=4, kv_heads=4, layers=1, vocab=96),
    model_dir="unused",
    task=task.Task(
      name="none",
      train=sources.Text("unused"),
      vocabulary=vocab.Bytes(),
      objective=CausalLM(),
      layout=layouts.CausalDecoder(),
    ),
    lengths={"targets": LENGTH},
    steps=10,
    batch=ROWS,
    microbatches=ROWS,
    optimizer=optim.SGD(learning_rate=0.1, clip=1e-3),
    noise_scale=True,
  )
  return Run(**(options | changes))


def batch():
  """Rows whose numbers of target tokens differ."""
  random = np.random.default_rng(0)
  tokens, targets = random.integers(1, 96, (2, ROWS, LENGTH), dtype=np.int32)
  return {
    "decoder_input_tokens": tokens,
    "decoder_target_tokens": targets,
    "decoder_loss_weights": np.tri(ROWS, LENGTH, 4, np.float32),
    "decoder_segment_ids": np.ones((ROWS, LENGTH), np.int32),
    "decoder_positions": np.tile(np.arange(LENGTH, dtype=np.int32), (ROWS, 1)),
  }


@functools.cache
def stepped(**changes):
  """Metrics of the first step."""
  engine = Engine(run(**changes))
  once = jax.jit(
    functools.partial(step.train_step, engine.plan), compiler_options=FAST_COMPILE
  )
  metrics = once(engine.initial_state(), batch())[1]
  return {name: float(value) for name, value in metrics.items()}


@functools.cache
def by_hand():
  """Gradients of single examples [rows, parameters], each per token of a mean row."""
  engine = Engine(run())
  plan = dataclasses.replace(engine.plan, microbatches=1, noise_scale=False)
  params = engine.initial_state().params
  of_row = jax.jit(
    lambda row: step.gradients(plan, params, row, None)[0],
    compiler_options=FAST_COMPILE,
  )
  rows = [{k: v[n : n + 1] for k, v in batch().items()} for n in range(ROWS)]
  found = [flatten(jax.device_get(of_row(row))) for row in rows]
  share = batch()["decoder_loss_weights"].sum() / ROWS
  return [{path: leaf / share for path, leaf in row.items()} for row in found]


def matrix(*, without=()):
  kept = [
    np.concatenate([leaf.ravel() for p, leaf in row.items() if p not in without])
    for row in by_hand()
  ]
  return np.array(kept, np.float64)


def test_the_norms_are_those_of_single_examples():
  rows, metrics = matrix(), stepped()
  # Sums of float32.
  assert metrics[noise.SMALL] == pytest.approx((rows**2).sum(1).mean(), rel=1e-5)
  assert metrics[noise.LARGE] == pytest.approx((rows.mean(0) ** 2).sum(), rel=1e-5)


def test_the_estimate_is_the_covariance_of_single_examples():
  rows, metrics = matrix(), stepped()
  signal, spread = estimates(metrics[noise.SMALL], metrics[noise.LARGE], 1, ROWS)
  # The unbiased trace, and what it leaves of the squared mean: closed forms.
  trace = ((rows - rows.mean(0)) ** 2).sum() / (ROWS - 1)
  assert spread == pytest.approx(trace, rel=1e-4)
  assert signal == pytest.approx((rows.mean(0) ** 2).sum() - trace / ROWS, rel=1e-4)


def test_frozen_parameters_do_not_count_and_a_loss_scale_changes_nothing():
  frozen = next(path for path in by_hand()[0] if path.endswith("embedding"))
  rows = matrix(without=(frozen,))
  metrics = stepped(
    frozen=(Freeze(pattern=frozen),), loss_scale=Dynamic(initial=2.0**10)
  )
  assert metrics[noise.SMALL] == pytest.approx((rows**2).sum(1).mean(), rel=1e-5)
  assert metrics[noise.LARGE] == pytest.approx((rows.mean(0) ** 2).sum(), rel=1e-5)


def test_off_nothing_is_computed_and_the_run_is_the_same():
  off, on = Engine(run(noise_scale=False)), Engine(run())
  assert identity(off.run) == identity(on.run)
  squares = []
  for engine in (off, on):
    traced = jax.make_jaxpr(functools.partial(step.train_step, engine.plan))
    squares.append(str(traced(engine.abstract_state(), batch())).count(" square "))
  # One of every parameter's gradient, in the loop.
  assert squares[1] - squares[0] == len(on.declared)


def test_one_microbatch_is_refused():
  with pytest.raises(ValueError, match="set run.Run.microbatches to 2 or more"):
    run(microbatches=1)


def test_lines_of_several_steps_count_as_many():
  one = NoiseScale(decay=0.9)
  for _ in range(5):
    one = one.update(5.0, 2.0, 1, 4)
  other = NoiseScale(decay=0.9).update(5.0, 2.0, 1, 4, steps=5)
  found = [(a.signal, a.noise, a.weight) for a in (one, other)]
  assert found[0] == pytest.approx(found[1])


def test_a_line_of_skipped_steps_is_left_out():
  known = noise.start(None).update(5.0, 2.0, 1, 4)
  line = {noise.SMALL: float("nan"), noise.LARGE: 1.0}
  assert noise.measured(known, line, batch=4, microbatches=4, steps=1) == (known, {})


FLAGS = {
  "MIXTURE_OR_TASK_NAME": "text_files",
  "TASK_FEATURE_LENGTHS": "{'inputs': 32, 'targets': 16}",
  "VOCABULARY": "@vocab.Bytes()",
  "vocab.Bytes.extra_ids": "100",
  "BATCH_SIZE": "8",
  "EVAL_STEPS": "0",
  "LOG_PERIOD": "2",
  "CHECKPOINT_PERIOD": "4",
  "VALIDATION_FRACTION": "0.1",
  "run.Run.microbatches": "4",
  "run.Run.noise_scale": "True",
}


def test_a_run_tells_its_noise_scale_and_keeps_it(tmp_path, capsys):
  random = np.random.default_rng(0)
  words = "the best batch is where noise and signal are equal".split()
  lines = [" ".join(random.choice(words, 30)) for _ in range(200)]
  (tmp_path / "text.txt").write_text("\n".join(lines))

  def go(steps):
    bindings = FLAGS | {
      "TRAIN_STEPS": steps,
      "TEXT_FILES": repr(str(tmp_path / "text.txt")),
      "MODEL_DIR": repr(str(tmp_path / "run")),
      "run.Run.data_dir": repr(str(tmp_path / "data")),
    }
    files = ["models/t5_1_1/tiny.gin", "runs/pretrain.gin"]
    made = config.parse(files, [f"{k} = {v}" for k, v in bindings.items()])
    built = made.build()
    assert train.train(built, config_text="", identity=identity(built)) == 0
    return capsys.readouterr().err

  told = go(4)
  assert "  batch        about " in told and "target tokens) balance" in told
  written = [json.loads(x) for x in open(tmp_path / "run" / "metrics.jsonl")]
  line = written[-1]
  # Two lines: averages of the estimates, weighted by age.
  pairs = [estimates(x[noise.SMALL], x[noise.LARGE], 2, 8) for x in written]
  keep = noise.DECAY**2
  signal, spread = (keep * np.array(pairs[0]) + np.array(pairs[1])) / (keep + 1)
  assert line["noise_scale_examples"] == pytest.approx(spread / signal, rel=1e-4)
  tokens = line["noise_scale_examples"] * line["target_tokens"] / 8
  assert line["noise_scale_tokens"] == pytest.approx(tokens)
  go(6)
  last = json.loads(open(tmp_path / "run" / "metrics.jsonl").readlines()[-1])
  pairs.append(estimates(last[noise.SMALL], last[noise.LARGE], 2, 8))
  ages = np.array([keep**2, keep, 1.0])[:, None]
  signal, spread = (ages * np.array(pairs)).sum(0) / ages.sum()
  assert last["noise_scale_examples"] == pytest.approx(spread / signal, rel=1e-4)
