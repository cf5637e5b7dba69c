"""The training step: accumulation, averages, bad batches, one compilation."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.components.execution import PIPELINE, Execution
from models.components.param import flatten
from models.families import llama, t5
from t5x_like import optim, step
from t5x_like.data import sources, task, vocab
from t5x_like.data.objectives.span_corruption import SpanCorruption
from t5x_like.engine import Engine
from t5x_like.freeze import Freeze
from t5x_like.losses import CrossEntropy
from t5x_like.run import Run

T5 = t5.t5_1_1(dim=32, hidden=64, heads=4, head_dim=8, layers=2, vocab=96)


def rows(side, length, batch, random):
  lengths = random.integers(length // 2, length + 1, batch)
  inside = np.arange(length)[None] < lengths[:, None]
  tokens = np.where(inside, random.integers(2, 96, (batch, length)), 0)
  return {
    f"{side}_input_tokens": tokens.astype(np.int32),
    f"{side}_segment_ids": inside.astype(np.int32),
    f"{side}_positions": np.tile(np.arange(length, dtype=np.int32), (batch, 1)),
  }


def batch(size=8, seed=0):
  random = np.random.default_rng(seed)
  made = rows("encoder", 24, size, random) | rows("decoder", 16, size, random)
  weights = made["decoder_segment_ids"].astype(np.float32)
  targets = random.integers(2, 96, (size, 16)).astype(np.int32)
  return made | {"decoder_target_tokens": targets, "decoder_loss_weights": weights}


def run(**changes):
  options = dict(
    model=T5,
    model_dir="unused",
    task=task.Task(
      name="none",
      train=sources.Text("unused"),
      vocabulary=vocab.Bytes(),
      objective=SpanCorruption(),
    ),
    lengths={"inputs": 24, "targets": 16},
    steps=10,
    batch=8,
    optimizer=optim.AdamW(learning_rate=1e-2),
    loss=CrossEntropy(z_loss=1e-4),
  )
  return Run(**(options | changes))


@pytest.fixture(scope="module")
def engine():
  return Engine(run())


@pytest.fixture(scope="module")
def params(engine):
  return engine.initial_state().params


@pytest.mark.parametrize("count", [2, 4])
def test_accumulated_gradients_equal_those_of_the_whole_batch(engine, params, count):
  def grads(microbatches):
    plan = dataclasses.replace(engine.plan, microbatches=microbatches)
    return jax.jit(functools.partial(step.gradients, plan))(params, batch(), None)

  whole, sums = grads(1)
  parts, part_sums = grads(count)
  assert float(sums["weight"]) == float(part_sums["weight"])
  scale = max(float(jnp.max(jnp.abs(g))) for g in jax.tree.leaves(whole))
  for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
    # Sums of float32 in another order: 1e-6 of the largest gradient.
    np.testing.assert_allclose(one, other, atol=1e-6 * scale)


def test_accumulation_lowers_peak_memory(capsys):
  model = llama.llama(dim=64, hidden=256, heads=4, layers=4, vocab=512)
  random = np.random.default_rng(0)
  made = rows("decoder", 128, 16, random)
  made |= {
    "decoder_target_tokens": made["decoder_input_tokens"],
    "decoder_loss_weights": made["decoder_segment_ids"].astype(np.float32),
  }
  temporary = {}
  for count in (1, 8):
    made_for = Engine(run(model=model, batch=16, microbatches=count))
    shapes = {name: array.shape for name, array in made.items()}
    compiled = made_for.compile(shapes).result()
    temporary[count] = compiled.memory_analysis().temp_size_in_bytes
  with capsys.disabled():
    print(f"\ntemporary memory, 1 and 8 microbatches: {temporary} bytes")
  assert temporary[8] < 0.5 * temporary[1]


def test_a_batch_that_is_not_finite_changes_nothing_but_the_counter():
  made = Engine(run(ema=0.9))
  state, _ = made.train_step(made.initial_state(), made.put(batch()))
  before = jax.device_get((state.params, state.opt_state, state.extra))
  bad = batch()
  bad["decoder_loss_weights"][0, 0] = np.nan
  state, metrics = made.train_step(state, made.put(bad))
  assert float(metrics["skipped"]) == 1.0 and int(state.step) == 2
  after = jax.device_get((state.params, state.opt_state, state.extra))
  jax.tree.map(np.testing.assert_array_equal, before, after)
  state, metrics = made.train_step(state, made.put(batch()))
  assert float(metrics["skipped"]) == 0.0 and np.isfinite(float(metrics["loss"]))


def test_one_compilation_serves_all_steps(engine):
  state = engine.initial_state()
  for seed in range(3):
    state, _ = engine.train_step(state, engine.put(batch(seed=seed)))
  assert len(engine.programs) == 1


def test_the_average_follows_its_definition():
  made = Engine(run(ema=0.75))
  state = made.initial_state()
  expected = jax.device_get(state.extra["ema"])
  for _ in range(3):
    state, _ = made.train_step(state, made.put(batch()))
    expected = jax.tree.map(
      lambda e, p: 0.75 * e + 0.25 * p, expected, jax.device_get(state.params)
    )
  # float32: three multiply-adds.
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7),
    jax.device_get(state.extra["ema"]),
    expected,
  )


def test_initial_loss_is_that_of_a_guess():
  model = dataclasses.replace(T5, dropout=0.1)
  made = Engine(run(model=model, loss=CrossEntropy()))
  _, metrics = made.train_step(made.initial_state(), made.put(batch()))
  # Unit-variance logits add about 1/2 to ln(vocabulary).
  assert abs(float(metrics["loss"]) - np.log(96) - 0.5) < 0.3


def test_dropout_depends_on_seed_and_step_alone():
  model = dataclasses.replace(T5, dropout=0.3)
  losses = []
  for seed in (0, 0, 1):
    plan = Engine(run(model=model, seed=seed)).plan
    key = jax.random.fold_in(jax.random.key(plan.seed), 5)
    params = Engine(run()).initial_state().params
    losses.append(
      float(jax.jit(functools.partial(step.objective, plan))(params, batch(), key)[0])
    )
  assert losses[0] == losses[1] != losses[2]


def test_bfloat16_computes_close_to_float32_and_keeps_float32_parameters():
  full = Engine(run())
  half = Engine(run(execution=Execution(compute_dtype="bfloat16")))
  ends = []
  for made in (full, half):
    state = made.initial_state()
    for _ in range(3):
      state, metrics = made.train_step(state, made.put(batch()))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))
    ends.append(float(metrics["loss"]))
  # bfloat16 has 8 bits: 1 % of a loss of 4 to 5.
  assert abs(ends[0] - ends[1]) < 0.05
  assert ends[0] != ends[1]


def moved(before, after):
  """Paths whose values changed."""
  old, new = (flatten(jax.device_get(tree)) for tree in (before, after))
  return {path for path in old if not np.array_equal(old[path], new[path])}


def test_frozen_parameters_keep_their_values_until_the_step(params):
  frozen = (Freeze(pattern="encoder/.*", end=2), Freeze(pattern=".*/final_norm/.*"))
  # Decay and momentum would move them without any gradient.
  optimizer = optim.AdamW(learning_rate=1e-2, weight_decay=0.1)
  made = Engine(run(frozen=frozen, optimizer=optimizer))
  states = [made.initial_state()]
  kept = [jax.device_get(states[0].params)]
  for _ in range(3):
    states.append(made.train_step(states[-1], made.put(batch()))[0])
    kept.append(jax.device_get(states[-1].params))
  everything = set(flatten(params))
  encoder = {path for path in everything if path.startswith("encoder/")}
  norms = {path for path in everything if "/final_norm/" in path}
  assert (
    moved(kept[0], kept[1]) == moved(kept[1], kept[2]) == (everything - encoder - norms)
  )
  assert moved(kept[2], kept[3]) == everything - norms


def test_the_norm_counts_what_moves():
  """Clipping must not depend on gradients that are thrown away."""
  whole, part = Engine(run()), Engine(run(frozen=(Freeze(pattern="encoder/.*"),)))
  norms = [
    float(e.train_step(e.initial_state(), e.put(batch()))[1]["gradient_norm"])
    for e in (whole, part)
  ]
  assert norms[1] < norms[0]


@pytest.mark.parametrize(
  "wrong, says",
  [
    (dict(pattern="encodr/.*"), "matches none of the"),
    (dict(pattern=".*"), "nothing would train"),
  ],
)
def test_freezing_nothing_or_all_is_an_error(wrong, says):
  with pytest.raises(ValueError, match=says):
    Engine(run(frozen=(Freeze(**wrong),)))


def test_a_freeze_checks_itself():
  with pytest.raises(ValueError, match="no regular expression"):
    Freeze(pattern="(")
  with pytest.raises(ValueError, match="must come after start=5"):
    Freeze(pattern=".*", start=5, end=5)


@pytest.mark.parametrize("name", PIPELINE)
def test_settings_of_a_pipeline_that_is_not_there_are_an_error(name):
  value = {"pipeline_schedule": "1f1b"}.get(name, 2)
  execution = Execution(remat="full", **{name: value})
  with pytest.raises(ValueError, match=f"Execution.{name}={value!r} changes nothing"):
    Engine(run(execution=execution))
