"""Rates count what was computed in the time it took, and nothing else."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5x_like import metrics, peaks
from t5x_like.metrics import Rates, Window


class Clock:
  """A clock that is moved by hand."""

  def __init__(self):
    self.now = 100.0

  def __call__(self) -> float:
    return self.now


def batch(*, tokens: int) -> dict[str, np.ndarray]:
  segments = (np.arange(8) < tokens).astype(np.int32)[None]
  return {
    "encoder_segment_ids": segments,
    "decoder_segment_ids": segments,
    "encoder_input_tokens": np.ones((1, 8), np.int32),
  }


def step(
  window: Window, clock: Clock, *, wait: float, compute: float, tokens=8, **values
):
  window.waiting()
  clock.now += wait
  window.arrived(batch(tokens=tokens))
  clock.now += compute
  window.add({"loss": 1.0, "target_tokens": 1.0, "skipped": 0.0} | values)


def test_the_first_step_is_not_timed_because_it_is_compiled():
  window = Window(clock=(clock := Clock()))
  step(window, clock, wait=5, compute=60)
  for _ in range(4):
    step(window, clock, wait=0.5, compute=1.5)
  values, seconds, steps = window.close()
  assert (seconds, steps) == (8.0, 4)
  assert values["data_wait_share"] == 0.25


def test_time_spent_on_other_things_is_left_out():
  window = Window(clock=(clock := Clock()))
  for _ in range(3):
    step(window, clock, wait=0, compute=1)
  clock.now += 1000  # an evaluation
  window.restart()
  for _ in range(2):
    step(window, clock, wait=0, compute=1)
  assert window.close()[1:] == (2.0, 2)


def test_windows_follow_each_other_without_a_gap():
  window = Window(clock=(clock := Clock()))
  step(window, clock, wait=0, compute=9)
  step(window, clock, wait=0, compute=1)
  assert window.close()[1:] == (1.0, 1)
  for _ in range(5):
    step(window, clock, wait=0, compute=2)
  assert window.close()[1:] == (10.0, 5)


def test_a_step_that_is_dispatched_but_not_computed_does_not_count_as_fast():
  slow = jax.jit(
    lambda x: jax.lax.fori_loop(0, 60, lambda _, a: jnp.tanh(a @ a), x).sum()
  )
  x = jnp.ones((512, 512)) / 512
  slow(x).block_until_ready()
  start = time.perf_counter()
  slow(x).block_until_ready()
  truth = time.perf_counter() - start
  window = Window()
  for _ in range(3):
    window.add({"loss": slow(x)})
  _, seconds, steps = window.close()
  # Half of one timing: other processes share these cores, but dispatch takes 100 us.
  assert steps == 2 and seconds / steps > truth / 2


def test_tokens_are_those_that_are_not_padding():
  window = Window(tokens_seen=1000, clock=(clock := Clock()))
  step(window, clock, wait=0, compute=1, tokens=8)
  step(window, clock, wait=0, compute=1, tokens=4)
  values = window.close()[0]
  assert values["tokens"] == (16 + 8) / 2  # a step, encoder and decoder
  assert values["tokens_seen"] == 1024 == window.tokens_seen


def test_means_per_token_are_weighted_by_tokens():
  steps = [
    {"loss": 2.0, "gradient_norm": 1.0, "target_tokens": 30.0, "skipped": 0.0},
    {"loss": 4.0, "gradient_norm": 3.0, "target_tokens": 10.0, "skipped": 0.0},
  ]
  assert metrics.means(steps) == {
    "loss": pytest.approx(2.5),
    "gradient_norm": pytest.approx(2.0),
    "target_tokens": 20.0,
    "skipped": 0.0,
  }


def test_a_skipped_step_does_not_spoil_the_mean_but_is_counted():
  good = {"loss": 2.0, "target_tokens": 8.0, "skipped": 0.0}
  bad = {"loss": np.nan, "target_tokens": 8.0, "skipped": 1.0}
  values = metrics.means([good, bad, good])
  assert values["loss"] == pytest.approx(2.0) and values["skipped"] == 1.0
  assert np.isnan(metrics.means([bad, bad])["loss"])


def test_rates_are_per_second_of_the_timed_steps():
  rates = Rates(
    flops_per_step=494.5e12,
    examples_per_step=8,
    devices=4,
    device_kind="NVIDIA H100 80GB HBM3",
    dtype="bfloat16",
  )
  assert rates(10.0, 20, {"tokens": 5120.0}) == {
    "steps_per_second": 2.0,
    "examples_per_second": 16.0,
    "tokens_per_second": 10240.0,
    "model_flops_per_second": 989e12,
    "utilisation": 0.25,
  }
  assert rates(0.0, 0, {}) == {}


@pytest.mark.parametrize(
  "kind, expected",
  [
    ("NVIDIA A100-SXM4-80GB", 312e12),
    ("NVIDIA A100 80GB PCIe", 312e12),
    ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
    ("NVIDIA A10G", 70e12),
    ("NVIDIA H100 80GB HBM3", 989e12),
    ("NVIDIA H100 PCIe", 756e12),
    ("NVIDIA H200", 989e12),
    ("NVIDIA H200 NVL", 835e12),
    ("TPU v5 lite", 197e12),
    ("TPU v5", 459e12),
    ("NVIDIA H1000", None),
  ],
)
def test_a_device_has_the_peak_of_its_data_sheet_or_none(kind, expected):
  assert peaks.peak(device_kind=kind, dtype="bfloat16", devices=1) == expected


def test_the_peak_of_a_cpu_is_measured_once():
  first = peaks.peak(device_kind="cpu", dtype="float32", devices=8)
  # A core does 2 products and sums of 4 to 16 floats a cycle, at 2 to 5 GHz.
  assert 1e9 < first < 1e14
  assert peaks.peak(device_kind="cpu", dtype="float32", devices=1) == first
