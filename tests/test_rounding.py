"""Parameters in bfloat16: rounding that is right on average, and training with it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_run
from small_run import batch

from models.components.param import flatten
from t5x_like import evaluate, inspect, optim, step
from t5x_like.checkpoint import Checkpointer, restore_params
from t5x_like.engine import Engine
from t5x_like.identity import identity
from t5x_like.roles import DECAYED
from t5x_like.rounding import Stochastic, stochastic

KEYS = 4096
FAST_COMPILE = {"xla_backend_optimization_level": 0}


def neighbours(x):
  """(bfloat16 towards 0, the next one away from 0) of float32 numbers, as float32."""
  bits = np.asarray(x, np.float32).view(np.uint32) & 0xFFFF0000
  return bits.view(np.float32), (bits + 0x10000).view(np.float32)


@functools.cache
def drawn(seed=0):
  """(x [128], rounded with many keys [KEYS, 128]): all magnitudes, and subnormal ones."""
  random = np.random.default_rng(seed)
  x = np.float32(random.normal(size=128) * 10.0 ** random.integers(-38, 30, 128))
  keys = jax.random.split(jax.random.key(seed), KEYS)
  found = jax.jit(jax.vmap(stochastic, (None, 0)))(x, keys)
  return x, np.asarray(found, np.float32)


def test_only_the_two_neighbours_occur():
  x, found = drawn()
  low, high = neighbours(x)
  assert np.all((found == low) | (found == high))
  assert np.all((found == low).any(0) & (found == high).any(0))


def test_the_mean_is_the_number():
  x, found = drawn()
  low, high = (side.astype(np.float64) for side in neighbours(x))
  share = (x - low) / (high - low)
  # The closed form of a mean of KEYS draws of one of two values; 128 of them lie within
  # five with a probability of 0.9999.
  error = np.abs(high - low) * np.sqrt(share * (1 - share) / KEYS)
  assert np.all(np.abs(found.astype(np.float64).mean(0) - x) <= 5 * error)


def test_what_is_exact_stays():
  exact = np.float32([0.0, -0.0, 1.0, -1.5, 2.0**-133, 3.0e38, np.inf, -np.inf, np.nan])
  exact[5] = neighbours(exact[5])[0]
  for seed in range(8):
    found = np.asarray(stochastic(exact, jax.random.key(seed)), np.float32)
    np.testing.assert_array_equal(found, exact)
    assert np.signbit(found[1])


def test_small_updates_add_up_instead_of_being_lost():
  """Steps of 1/8 of the distance to the next number; to the nearest, none would move."""
  start, ulp, steps = 1.0, 2.0**-7, 64

  def walk(key):
    def one(x, n):
      new = x.astype(jnp.float32) + ulp / 8
      return stochastic(new, jax.random.fold_in(key, n)), None

    x = jnp.full(512, start, jnp.bfloat16)
    return jax.lax.scan(one, x, jnp.arange(steps))[0]

  moved = np.asarray(jax.jit(walk)(jax.random.key(0)), np.float32) - start
  assert jnp.bfloat16(start + ulp / 8) == start
  # Each step draws up with 1/8: a binomial number of ulps. Four errors of its mean.
  error = ulp * np.sqrt(steps * (1 / 8) * (7 / 8) / 512)
  assert abs(moved.mean() - steps * ulp / 8) < 4 * error


def test_the_draw_depends_on_seed_step_and_name():
  leaf = jnp.full(64, 1 + 2.0**-8, jnp.float32)
  rounding = Stochastic(parameters="one|two")

  def rounded(seed, step):
    found = rounding({"one": leaf, "two": leaf, "three": leaf}, seed=seed, step=step)
    assert found["three"] is leaf
    return [np.asarray(found[name], np.float32).tobytes() for name in ("one", "two")]

  every = [*rounded(0, 5), *rounded(0, 6), *rounded(1, 5)]
  assert len(set(every)) == 6
  assert rounded(0, 5) == every[:2]


# In training


def run(**changes):
  options = dict(
    optimizer=optim.AdamW(learning_rate=3e-3, weight_decay=0.1),
    rounding=Stochastic(parameters=f".*/({'|'.join(DECAYED)})"),
    ema=0.9,
  )
  return small_run.run(**(options | changes))


@pytest.fixture(scope="module")
def engine():
  return Engine(run())


@functools.cache
def compiled(engine):
  return jax.jit(
    functools.partial(step.train_step, engine.plan), compiler_options=FAST_COMPILE
  )


def eight_steps(engine):
  """(state, losses) after eight steps on one batch."""
  state, losses = engine.initial_state(), []
  for _ in range(8):
    state, metrics = compiled(engine)(state, batch())
    losses.append(float(metrics["loss"]))
  return state, losses


@pytest.fixture(scope="module")
def trained(engine):
  return eight_steps(engine)


def dtypes(tree):
  return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


def test_parameters_take_half_the_memory_and_nothing_else_changes(engine):
  whole = Engine(run(rounding=Stochastic())).abstract_state()
  plain = Engine(run(rounding=None)).abstract_state()
  assert dtypes(whole.params) == {"bfloat16"}
  assert 2 * inspect.bytes_of(whole.params) == inspect.bytes_of(plain.params)
  for state in (whole, engine.abstract_state()):
    assert dtypes((state.opt_state, state.extra)) == {"float32", "int32"}
  some = flatten(engine.abstract_state().params)
  for path, leaf in some.items():
    matrix = path.rpartition("/")[2] in DECAYED
    assert leaf.dtype == (jnp.bfloat16 if matrix else jnp.float32), path
  assert 0 < sum(leaf.dtype == jnp.float32 for leaf in some.values()) < len(some)


def test_it_learns_as_float32_does(trained):
  _, losses = eight_steps(Engine(run(rounding=None)))
  assert trained[1][0] - trained[1][-1] > 0.5
  # 8 bits: 2^-9 of every parameter, far less of a loss of 5 that falls to 4.
  assert trained[1] == pytest.approx(losses, abs=0.05)
  assert trained[1] != losses


def test_every_parameter_stays_as_it_is_stored_when_a_step_is_skipped(engine, trained):
  before = trained[0].params
  bad = batch()
  bad["decoder_loss_weights"][0, 0] = np.nan
  state, metrics = compiled(engine)(trained[0], bad)
  assert float(metrics["skipped"]) == 1.0
  jax.tree.map(np.testing.assert_array_equal, before, state.params)


def test_a_checkpoint_gives_back_every_bit_and_is_read_in_either_dtype(
  engine, trained, tmp_path
):
  state = trained[0]
  with Checkpointer(tmp_path) as checkpoints:
    checkpoints.save(8, state, data={}, meta={})
  restored = Checkpointer(tmp_path).restore(engine.abstract_state())[0]
  assert dtypes(restored.params) == {"float32", "bfloat16"}
  jax.tree.map(np.testing.assert_array_equal, state, restored)
  wide = evaluate.trained(engine, str(tmp_path), None)
  assert dtypes(wide) == {"float32"}
  half = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.bfloat16),
    engine.abstract_params(),
  )
  narrow = restore_params(tmp_path, half)
  leaves = map(jax.tree.leaves, (state.params, wide, narrow))
  for one, two, three in zip(*leaves, strict=True):
    np.testing.assert_array_equal(np.asarray(one, np.float32), two)
    np.testing.assert_array_equal(np.asarray(two).astype(jnp.bfloat16), three)


def test_an_average_starts_from_restored_parameters_in_float32(engine, trained):
  state = engine.with_params(engine.initial_state(), trained[0].params)
  assert dtypes(state.extra["ema"]) == {"float32"}


def test_a_run_without_rounding_is_the_run_it_was_before():
  assert "rounding" not in identity(run(rounding=None))
  one, other = identity(run()), identity(run(rounding=Stochastic()))
  assert one["rounding"] != other["rounding"]


@pytest.mark.parametrize(
  "wrong, says", [("(", "expression"), ("kernel", "none of the")]
)
def test_a_pattern_is_checked(wrong, says):
  with pytest.raises(ValueError, match=says):
    Engine(run(rounding=Stochastic(parameters=wrong)))
