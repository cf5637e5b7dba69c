"""Schedules against T5X's published values and closed forms."""

import math

import jax
import numpy as np
import pytest

from t5x_like import schedules as s

# float32 arithmetic on numbers of up to seven digits.
close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6)


@pytest.mark.parametrize(
  ("step", "rate"),
  [
    (0, 0.01),
    (10_000, 0.01),
    (20_000, 0.0070710678),
    (40_000, 0.005),
    (100_000, 0.0031622777),
    (262_144, 0.001953125),
    (524_288, 0.0013810679),
    (1_000_000, 0.001),
  ],
)
def test_t5_pretraining(step, rate):
  t5x = s.T5X(
    factors="constant * rsqrt_decay", base_learning_rate=1.0, warmup_steps=10_000
  )
  close(t5x(step), rate)
  close(s.Rsqrt(peak=0.01, warmup=10_000)(step), rate)


def test_t5_finetuning_is_constant():
  t5x = s.T5X(factors="constant", base_learning_rate=0.001)
  for step in (0, 999, 10**6):
    close(t5x(step), 0.001)


@pytest.mark.parametrize(
  ("step", "rate"),
  [
    (500, 0.005),
    (1000, 0.01),
    (4000, 0.0099778098),
    (20_000, 0.0091354029),
    (40_000, 0.0066936896),
    (262_144, 0.0032850456),
    (524_288, 0.0087204852),
  ],
)
def test_t5x_cosine_with_restarts(step, rate):
  t5x = s.T5X(
    factors="constant * linear_warmup * cosine_decay",
    base_learning_rate=0.01,
    warmup_steps=1000,
  )
  close(t5x(step), rate)


def test_t5x_cosine_at_the_end_of_its_cycle():
  t5x = s.T5X(
    factors="constant * linear_warmup * cosine_decay",
    base_learning_rate=0.01,
    warmup_steps=1000,
  )
  # 1 + cos near pi loses digits in float32: the value is 1e-4 of the peak.
  np.testing.assert_allclose(t5x(100_000), 2.4671982e-6, rtol=1e-3)


@pytest.mark.parametrize(
  ("step", "rate"),
  [(19_999, 1), (20_000, 0.5), (40_000, 0.25), (100_000, 0.03125), (10**6, 1e-8)],
)
def test_t5x_decay_every(step, rate):
  t5x = s.T5X(factors="constant * decay_every", base_learning_rate=1.0)
  close(t5x(step), rate)


T5X_FACTORS = {
  # As T5X's documentation states them: w warm-up 1000, base 0.5, decay_factor 0.5.
  "constant": lambda t: 0.5,
  "linear_warmup": lambda t: min(1, t / 1000),
  "linear_decay": lambda t: 0.5 * min(t / 1000, 1 + 0.5 * (1000 - t)),
  "rsqrt_decay": lambda t: 1 / math.sqrt(max(t, 1000)),
  "rsqrt_normalized_decay": lambda t: math.sqrt(1000) / math.sqrt(max(t, 1000)),
  "decay_every": lambda t: 0.5 ** (t // 20_000),
  "cosine_decay": lambda t: (
    (1 + math.cos(math.pi * (max(0, t - 1000) / 100_000 % 1))) / 2
  ),
}


@pytest.mark.parametrize("factor", T5X_FACTORS)
def test_every_t5x_factor_by_its_formula(factor):
  for step in (0, 1, 500, 1000, 1001, 19_999, 20_000, 60_000, 130_000):
    wanted = max(T5X_FACTORS[factor](step), 1e-8)
    np.testing.assert_allclose(s.T5X(factors=factor)(step), wanted, rtol=1e-5)


def test_t5x_factors_multiply_and_begin_at_the_offset():
  both = s.T5X(factors="rsqrt_decay*linear_warmup", step_offset=10_000)
  for step in (0, 10_000, 10_500, 14_000):
    t = max(0, step - 10_000)
    close(both(step), max(min(1, t / 1000) / math.sqrt(max(t, 1000)), 1e-8))


def test_an_unknown_t5x_factor_is_an_error():
  with pytest.raises(ValueError, match="Unknown factor 'cosin'"):
    s.T5X(factors="constant * cosin")


def test_cosine_closed_form():
  schedule = s.Cosine(peak=2.0, steps=1100, warmup=100, final=0.5)
  for step in (0, 50, 100, 350, 600, 1100, 2000):
    done = min(max((step - 100) / 1000, 0), 1)
    expected = 0.5 + 1.5 * 0.5 * (1 + math.cos(math.pi * done))
    close(schedule(step), 2.0 * step / 100 if step < 100 else expected)


def test_linear_and_wsd_closed_forms():
  linear = s.Linear(peak=1.0, steps=110, warmup=10, final=0.1)
  close([linear(t) for t in (0, 5, 10, 60, 110, 500)], [0, 0.5, 1, 0.55, 0.1, 0.1])
  wsd = s.WSD(peak=1.0, steps=100, decay=20, warmup=10)
  close([wsd(t) for t in (5, 10, 80, 90, 100)], [0.5, 1, 1, 0.5, 0])
  assert s.WSD(peak=1.0, steps=100, decay=0.2).stable == wsd.stable == 80


def test_multi_step_is_deepseeks():
  schedule = s.MultiStep(
    peak=4.2e-4, boundaries=(800, 900), factors=(0.316, 0.1), warmup=20
  )
  close(
    [schedule(t) for t in (10, 20, 799, 800, 899, 900)],
    [2.1e-4, 4.2e-4, 4.2e-4, 4.2e-4 * 0.316, 4.2e-4 * 0.316, 4.2e-5],
  )


def test_a_product_multiplies_and_traces():
  product = s.Product(factors=(s.Warmup(steps=10), s.Constant(value=3.0)))
  close(jax.jit(product)(5), 1.5)
  assert jax.jit(product)(5).dtype == np.float32


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: s.Rsqrt(peak=1.0, warmup=0), "warmup must be positive"),
    (lambda: s.Cosine(peak=1.0, steps=10, warmup=-1), "warmup zero or more"),
    (lambda: s.Linear(peak=1.0, steps=0), "steps must be positive"),
    (lambda: s.WSD(peak=1.0, steps=10, decay=11), "decay must be positive, within"),
    (lambda: s.WSD(peak=1.0, steps=10, decay=2.5), "whole number, or a share below 1"),
    (lambda: s.MultiStep(peak=1.0, boundaries=(5,), factors=()), "needs one factor"),
    (
      lambda: s.MultiStep(peak=1.0, boundaries=(5, 5), factors=(0.5, 0.1)),
      "boundaries must increase",
    ),
    (lambda: s.T5X(warmup_steps=0), "warmup_steps must be positive"),
  ],
)
def test_schedules_that_cannot_be_are_errors(make, message):
  with pytest.raises(ValueError, match=message):
    make()


EACH = [
  s.Constant(value=0.1),
  s.Warmup(steps=10),
  s.Rsqrt(peak=0.1, warmup=10, ramp=True),
  s.Linear(peak=0.1, steps=100, warmup=10),
  s.Cosine(peak=0.1, steps=100),
  s.WSD(peak=0.1, steps=100, decay=20),
  s.MultiStep(peak=0.1, boundaries=(50, 80), factors=(0.3, 0.1)),
  s.T5X(),
]


@pytest.mark.parametrize("schedule", EACH, ids=lambda one: type(one).__name__)
def test_traced_and_plain_steps_give_the_same_float32(schedule):
  steps = np.arange(0, 120, 7, dtype=np.int32)
  traced = jax.jit(schedule)(steps)
  assert traced.dtype == np.float32 and np.all(np.isfinite(traced))
  # Near its end a cosine loses digits: 1e-6 of the peak.
  plain = [schedule(int(t)) for t in steps]
  np.testing.assert_allclose(traced, plain, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("schedule", EACH, ids=lambda one: type(one).__name__)
def test_schedules_are_values(schedule):
  assert eval(repr(schedule), vars(s)) == schedule
  assert len({schedule, eval(repr(schedule), vars(s))}) == 1


def test_a_ramp_of_rsqrt_is_that_of_the_transformer():
  # Vaswani et al. 2017, equation 3, up to its constant.
  rsqrt = s.Rsqrt(peak=1.0, warmup=4000, ramp=True)
  for step in (1, 2000, 4000, 16_000):
    close(rsqrt(step), min(step**-0.5, step * 4000**-1.5) * math.sqrt(4000))
