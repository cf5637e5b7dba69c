"""Loss scaling: the rules beside loops written from their sources and beside torch, and
training in float16 beside float32."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_run
from small_run import batch

from models.components.execution import Execution
from t5x_like import step
from t5x_like.checkpoint import Checkpointer
from t5x_like.engine import Engine
from t5x_like.identity import identity
from t5x_like.loss_scale import Dynamic, Patient, Windowed
from t5x_like.metrics import means

FAST_COMPILE = {"xla_backend_optimization_level": 0}
HALF = Execution(compute_dtype="float16")


def metaseq(spec, flags):
  """DynamicLossScaler with tolerance 0, in its own terms: counters of iterations."""
  scale, window, overflow, rows = spec.initial, spec.period, -1, []
  windowed = isinstance(spec, Windowed)
  for number, finite in enumerate(flags):
    if not finite:
      overflow = number
      scale = scale / 2 if scale / 2 >= spec.lowest else scale
      window = max(window // 2, 1) if windowed else window
    elif (number - overflow) % window == 0:
      scale, window = scale * 2, window * 2 if windowed else window
    rows.append((scale, window))
  return rows


def states(spec, flags):
  """(scale, period) after every step."""

  def one(state, finite):
    state = spec.update(state, finite)
    return state, (state.scale, state.period)

  found = jax.lax.scan(one, spec.start(), jnp.asarray(flags))[1]
  return [(float(scale), int(period)) for scale, period in zip(*found, strict=True)]


def flags(*, overflows_first=9, steps=400, share=0.9):
  made = np.random.default_rng(0).random(steps) < share
  made[:overflows_first] = False  # down to the lowest
  return made


@pytest.mark.parametrize(
  "spec", [Dynamic(initial=8.0, period=3, lowest=1.0), Windowed(period=4)]
)
def test_the_scale_follows_its_rule(spec):
  # Powers of two: exact.
  assert states(spec, flags()) == metaseq(spec, flags())


def test_opt_grows_late_where_the_scale_is_high_and_soon_where_it_is_low():
  moves = [n for n, _ in itertools.groupby(states(Windowed(), [True] * 1100))]
  # 256 steps, then as many until 512, then until 1024.
  assert moves == [(4.0, 256), (8.0, 512), (16.0, 1024), (32.0, 2048)]
  # Seven halvings to the floor; the period goes on shrinking.
  assert states(Windowed(), [False] * 9)[6:] == [(2.0**-5, 2), (2.0**-5, 1)] + [
    (2.0**-5, 1)
  ]


def test_the_scale_is_that_of_torch():
  torch = pytest.importorskip("torch")
  spec = Dynamic(initial=2.0**10, period=5)
  weight = torch.nn.Parameter(torch.ones(1))
  optimizer = torch.optim.SGD([weight], lr=0.0)
  scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=5)
  theirs = []
  for finite in flags(overflows_first=3, steps=60):
    optimizer.zero_grad()
    scaler.scale(weight * (1.0 if finite else float("inf"))).backward()
    scaler.step(optimizer)
    scaler.update()
    theirs.append(scaler.get_scale())
  ours = states(spec, flags(overflows_first=3, steps=60))
  assert [scale for scale, _ in ours] == theirs


def megatron(spec, flags):
  """DynamicGradScaler, in its own terms: two trackers."""
  scale, growth, hysteresis, rows = spec.initial, 0, spec.hysteresis, []
  for finite in flags:
    if finite:
      growth += 1
      if growth == spec.period:
        growth, hysteresis, scale = 0, spec.hysteresis, scale * 2
    else:
      growth, hysteresis = 0, hysteresis - 1
      if hysteresis <= 0:
        scale = max(scale / 2, spec.lowest)
    rows.append(scale)
  return rows


@pytest.mark.parametrize("hysteresis", [1, 2, 4])
def test_patience_is_megatrons(hysteresis):
  spec = Patient(initial=2.0**10, period=5, hysteresis=hysteresis)
  for made in (flags(overflows_first=3), flags(overflows_first=0, share=0.8)):
    assert [scale for scale, _ in states(spec, made)] == megatron(spec, made)
  if hysteresis == 1:
    plain = Dynamic(initial=2.0**10, period=5, lowest=1.0)
    assert states(spec, flags()) == states(plain, flags())


@pytest.mark.parametrize(
  "wrong, says",
  [
    (dict(factor=1.0), "factor=1.0"),
    (dict(period=0), "period=0"),
    (dict(initial=0.5, lowest=1.0), "lowest=1.0"),
  ],
)
def test_a_rule_that_cannot_work_is_refused(wrong, says):
  with pytest.raises(ValueError, match=says):
    Dynamic(**wrong)
  with pytest.raises(ValueError, match="hysteresis=0"):
    Patient(hysteresis=0)


# In training


def run(**changes):
  return small_run.run(**({"microbatches": 2} | changes))


@functools.cache
def compiled(engine):
  return jax.jit(
    functools.partial(step.train_step, engine.plan), compiler_options=FAST_COMPILE
  )


def train(engine, state, batches):
  """(state, the metrics of each step)."""
  lines = []
  for rows in batches:
    state, metrics = compiled(engine)(state, rows)
    lines.append({name: float(value) for name, value in metrics.items()})
  return state, lines


@pytest.fixture(scope="module")
def half():
  return Engine(run(execution=HALF, loss_scale=Dynamic(initial=2.0**8, period=4)))


def test_float16_follows_float32(half):
  batches = [batch(seed) for seed in range(8)]
  full = Engine(run())
  _, expected = train(full, full.initial_state(), batches)
  state, lines = train(half, half.initial_state(), batches)
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))
  assert sum(line["skipped"] for line in lines) == 0
  assert [line["loss_scale"] for line in lines] == [256.0] * 4 + [512.0] * 4
  found, wanted = ([line["loss"] for line in some] for some in (lines, expected))
  assert found != wanted
  # 11 bits: 5e-4 of a loss of 4 to 5 a rounding, amplified by eight updates.
  assert found == pytest.approx(wanted, abs=0.02)


def test_an_overflow_halves_the_scale_and_changes_nothing_else(half):
  state, _ = train(half, half.initial_state(), [batch(0)])
  too_high = state.extra["loss_scale"]._replace(scale=jnp.float32(2.0**24))
  state.extra["loss_scale"] = jax.device_put(
    too_high, half.shardings.extra["loss_scale"]
  )
  before = jax.device_get((state.params, state.opt_state))
  state, [line] = train(half, state, [batch(1)])
  assert line["skipped"] == 1.0 and np.isfinite(line["loss"])
  jax.tree.map(
    np.testing.assert_array_equal,
    before,
    jax.device_get((state.params, state.opt_state)),
  )
  scale = state.extra["loss_scale"]
  assert (float(scale.scale), int(scale.good)) == (2.0**23, 0)
  # It goes on falling until a step counts.
  state, lines = train(half, state, [batch(seed) for seed in range(2, 22)])
  down = [line["skipped"] for line in lines].index(0.0)
  scales = [line["loss_scale"] for line in lines]
  assert down > 0 and scales[: down + 1] == [2.0 ** (23 - n) for n in range(down + 1)]


@pytest.mark.parametrize("rule", [Windowed(), Patient()])
def test_every_rule_is_part_of_a_state_and_of_a_step(rule):
  engine = Engine(run(execution=HALF, loss_scale=rule))
  state = engine.abstract_state()
  one = functools.partial(step.train_step, engine.plan)
  after, metrics = jax.eval_shape(one, state, batch(0))
  shapes = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
  assert shapes(after) == shapes(state)
  assert {"loss_scale", "skipped"} <= set(metrics)


def test_a_checkpoint_keeps_the_scale(half, tmp_path):
  state, _ = train(half, half.initial_state(), [batch(seed) for seed in range(5)])
  wanted = jax.device_get(state.extra["loss_scale"])
  with Checkpointer(tmp_path) as checkpoints:
    checkpoints.save(5, state, data={}, meta={})
  restored = Checkpointer(tmp_path).restore(half.abstract_state())[0]
  found = jax.device_get(restored.extra["loss_scale"])
  assert found == wanted == (512.0, 5, 4)


def test_the_scale_is_whole_on_every_device_of_any_mesh():
  engine = Engine(run(loss_scale=Dynamic(), rules="zero1", ema=0.9))
  scale = engine.shardings.extra["loss_scale"]
  assert all(one.spec == jax.sharding.PartitionSpec() for one in scale)


def test_the_ledger_shows_the_newest_scale():
  lines = [
    {"loss": 1.0, "skipped": skipped, "target_tokens": 8.0, "loss_scale": scale}
    for skipped, scale in ((0.0, 4.0), (1.0, 8.0))
  ]
  assert means(lines)["loss_scale"] == 8.0


def test_an_overflow_at_the_lowest_scale_ends_the_run():
  rule = Windowed()
  low = {"loss_scale": jnp.float32(2.0**-5), "skipped": jnp.float32(1.0)}
  rule.check(low | {"skipped": jnp.float32(0.0)})
  rule.check(low | {"loss_scale": jnp.float32(2.0**-4)})
  with pytest.raises(ValueError, match="the run diverges"):
    rule.check(low)


def test_float16_needs_a_scale_to_train_and_none_to_evaluate():
  with pytest.raises(ValueError, match=r"run.Run.loss_scale = @loss_scale.Dynamic\(\)"):
    run(execution=HALF)
  run(execution=HALF, steps=0)


def test_a_run_without_a_scale_is_the_run_it_was_before_there_were_scales():
  assert "loss_scale" not in identity(run())
  assert identity(run(loss_scale=Windowed()))["loss_scale"]["is"] == "Windowed"
