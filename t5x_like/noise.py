"""Gradient noise of a run: what its microbatches say about the best batch size.

You are in: t5x_like. Upstream: step.py, which hands out two squared norms of gradients
when `run.Run.noise_scale` is set. Downstream: train.py writes what is found into the
ledger and keeps the running averages in checkpoints. The estimate itself is
study/noise_scale.py: McCandlish et al. (2018), arXiv:1812.06162, appendix A.1.
"""

from __future__ import annotations

import math

from t5x_like.study.noise_scale import NoiseScale, trade

# Of the step's metrics: |g|^2 of the gradient of one microbatch (mean over them) and of
# the whole batch; both per target token, without what is frozen, before clipping.
SMALL, LARGE = "gradient_square_small", "gradient_square_large"
DECAY = 0.999  # of the averages: about 1000 steps


def start(saved: dict[str, float] | None) -> NoiseScale:
  """The averages as a checkpoint holds them, or new ones."""
  return NoiseScale(**saved) if saved else NoiseScale(decay=DECAY)


def measured(
  known: NoiseScale,
  values: dict[str, float],
  *,
  batch: int,
  microbatches: int,
  steps: int,
) -> tuple[NoiseScale, dict[str, float]]:
  """(the averages with a line of the ledger in it, what to add to that line).

  values: the line, means over `steps` steps of `batch` examples. Added are the batch
  sizes at which noise and gradient are equal, `noise_scale_examples` and
  `noise_scale_tokens` (target tokens), once there is an estimate.
  """
  small, large = values[SMALL], values[LARGE]
  if not (math.isfinite(small) and math.isfinite(large)):  # every step was skipped
    return known, {}
  known = known.update(small, large, batch // microbatches, batch, steps=steps)
  if known.batch is None:
    return known, {}
  tokens = known.batch * values["target_tokens"] / batch
  return known, {"noise_scale_examples": known.batch, "noise_scale_tokens": tokens}


def advice(found: dict[str, float], *, batch: int) -> str:
  """What was `measured` last, in words, for a run with a batch of so many examples."""
  if not found:
    return "no noise scale yet: gradients differ too much between steps; train longer"
  examples, tokens = found["noise_scale_examples"], found["noise_scale_tokens"]
  steps, data = trade(batch, examples)
  return (
    f"about {examples:,.0f} examples ({tokens:,.0f} target tokens) balance steps and "
    f"data; {batch} take {steps:.2f} times the fewest steps, {data:.2f} times the least "
    "data"
  )
