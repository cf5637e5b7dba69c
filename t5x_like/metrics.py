"""Metrics: what a run says about itself while it goes on.

You are in: t5x_like, the edge. Upstream: `train.py`. `Window` gathers the steps since
the last line, `Rates` turns their time into speed; then `ledger.py` writes the line and
`progress.py` shows it.

Definitions, per logged line, over the steps since the one before:
  loss_scale          of the newest step (loss_scale.py)
  loss, z_loss, ...   nats per target token, weighted by target tokens
  gradient_square_small, _large, noise_scale_...   see noise.py
  tokens              non-padding tokens a step, of all features
  tokens_per_second   tokens * steps / seconds
  model_flops_per_second   FLOPs of a step * steps / seconds, with the FLOPs that the
                      model needs (forward and backward; recomputation is not counted)
  utilisation         model_flops_per_second / peak of all devices (`peaks.py`); "MFU",
                      Chowdhery et al. (2022), arXiv:2204.02311, appendix B
  data_wait_share     share of the time in which the loop waited for the next batch
"""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import jax
import numpy as np

from t5x_like import noise, peaks

# Of the step's metrics: means over steps.
NOT_PER_TOKEN = ("gradient_norm", noise.SMALL, noise.LARGE)
NEWEST = ("loss_scale",)  # of the last step, skipped or not
Values = dict[str, Any]


class Window:
  """Gathers the steps between two lines of the ledger.

  JAX returns from a step before it is computed, so the clock is only read where the
  results of all steps so far are there: in `close`, in `restart`, and after the very
  first step, which is not timed because it is compiled.
  """

  def __init__(
    self, *, tokens_seen: int = 0, share: float = 1.0, clock=time.perf_counter
  ):
    """tokens_seen: by this run before; `tokens_seen` goes on counting from there. share:
    of the rows of a batch, those that this process sees."""
    self.tokens_seen, self._share = tokens_seen, share
    self._clock = clock
    self._mark: float | None = None
    self._metrics: list[dict[str, jax.Array]] = []
    self._batches = self._tokens = self._steps = 0
    self._waited = self._wait_start = 0.0

  def waiting(self) -> None:
    """Before the next batch is asked for."""
    self._wait_start = self._clock()

  def arrived(self, batch: dict[str, np.ndarray]) -> None:
    """After it came. Counts its tokens, assuming that other rows have as many."""
    self._waited += self._clock() - self._wait_start
    fields = [value for name, value in batch.items() if name.endswith("_segment_ids")]
    own = sum(int(np.count_nonzero(f)) for f in fields)
    tokens = round(own / self._share)
    self.tokens_seen += tokens
    self._tokens += tokens
    self._batches += 1

  def add(self, metrics: dict[str, jax.Array]) -> None:
    """After a step was dispatched."""
    self._metrics.append(metrics)
    self._steps += 1
    if self._mark is None:
      self.restart()

  def restart(self) -> None:
    """Leaves the time since the last line out: something else was done in it."""
    jax.block_until_ready(self._metrics[-1:])
    self._mark = self._clock()
    self._steps, self._waited = 0, 0.0

  def close(self) -> tuple[Values, float, int]:
    """(means over all steps, seconds and number of the timed ones); starts anew."""
    fetched = jax.device_get(self._metrics)
    now = self._clock()
    seconds = 0.0 if self._mark is None else now - self._mark
    steps, waited, self._mark = self._steps, self._waited, now
    values: Values = means(fetched)
    if self._batches:
      values["tokens"] = self._tokens / self._batches
      values["tokens_seen"] = self.tokens_seen
    if steps and seconds > 0:
      values["data_wait_share"] = min(1.0, waited / seconds)
    self._metrics = []
    self._batches = self._tokens = self._steps = 0
    self._waited = 0.0
    return values, seconds, steps


def means(metrics: list[dict[str, np.ndarray]]) -> dict[str, float]:
  """Of the metrics of some steps (`step.train_step`), one value each.

  Means per token are weighted by `target_tokens`. A step that was `skipped` (its loss
  was not finite) enters no mean but its number; if all were, the means show it.
  """
  if not metrics:
    return {}
  column = {name: np.array([m[name] for m in metrics], float) for name in metrics[0]}
  ones = np.ones(len(metrics))
  skipped = column.pop("skipped", 0 * ones)
  tokens = column.pop("target_tokens", ones)
  used = skipped == 0 if (skipped == 0).any() else ones == 1
  values = {name: float(column.pop(name)[-1]) for name in NEWEST if name in column}
  for name, numbers in column.items():
    weights = ones if name in NOT_PER_TOKEN else np.maximum(tokens, 1e-9)
    values[name] = float(np.average(numbers[used], weights=weights[used]))
  return values | {
    "target_tokens": float(tokens.mean()),
    "skipped": float(skipped.sum()),
  }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rates:
  """Speeds of a run; see the module's docstring for what they mean.

  flops_per_step: of all devices together, as the caller counts them.
  dtype: of the matrix products, for the peak to compare with.
  """

  flops_per_step: float
  examples_per_step: int
  devices: int
  device_kind: str
  dtype: str = "float32"

  @functools.cached_property
  def peak(self) -> float | None:
    return peaks.peak(
      device_kind=self.device_kind, dtype=self.dtype, devices=self.devices
    )

  def __call__(self, seconds: float, steps: int, values: Values) -> dict[str, float]:
    """Rates over `steps` steps that took `seconds`; empty when none was timed.

    values: with `tokens` a step, as from `Window.close`.
    """
    if steps == 0 or seconds <= 0:
      return {}
    speed = steps / seconds
    rates = {
      "steps_per_second": speed,
      "examples_per_second": self.examples_per_step * speed,
      "model_flops_per_second": self.flops_per_step * speed,
    }
    if "tokens" in values:
      rates["tokens_per_second"] = values["tokens"] * speed
    if self.peak:
      rates["utilisation"] = self.flops_per_step * speed / self.peak
    return rates
