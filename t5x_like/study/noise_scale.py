"""Gradient noise scale: the batch size beyond which more tokens a step help little.

You are in: t5x_like/study, pure part (numpy only). Training feeds squared norms of
gradients of a small and a large batch (the microbatches of a step, and their mean); the
ratio is formed last. McCandlish et al. (2018), arXiv:1812.06162, appendix A.1.

Squared norms are biased by noise, |G_B|^2 = |G|^2 + tr S / B on average; two sizes give
two equations, whose solutions are unbiased for any pair of sizes. Their ratio is not, so
both are averaged over steps before.
"""

from __future__ import annotations

import dataclasses

import numpy as np


def estimates(
  small: np.ndarray, large: np.ndarray, small_batch: int, large_batch: int
) -> tuple[np.ndarray, np.ndarray]:
  """(|G|^2, tr S), each unbiased and possibly negative at a single step.

  small, large: squared norms of the mean gradients of `small_batch` and `large_batch`
  examples (or tokens), of any equal shape.
  """
  if not 0 < small_batch < large_batch:
    raise ValueError(
      f"batches of {small_batch} and {large_batch}: the first must be smaller. With "
      "run.Run.microbatches of 2 or more, use a microbatch and the whole step."
    )
  signal = (large_batch * large - small_batch * small) / (large_batch - small_batch)
  noise = (small - large) / (1 / small_batch - 1 / large_batch)
  return signal, noise


@dataclasses.dataclass(frozen=True)
class NoiseScale:
  """Running averages; `update` returns the next. A step of decay 0.99 counts about 100.

  signal, noise: averages of |G|^2 and tr S; weight: how much of them is not the start.
  """

  decay: float = 0.99
  signal: float = 0.0
  noise: float = 0.0
  weight: float = 0.0

  def update(
    self, small: float, large: float, small_batch: int, large_batch: int, steps: int = 1
  ) -> NoiseScale:
    """The averages after more steps, of which the norms are means; see `estimates`."""
    signal, noise = estimates(small, large, small_batch, large_batch)
    keep = self.decay**steps
    add = 1 - keep
    return dataclasses.replace(
      self,
      signal=keep * self.signal + add * float(signal),
      noise=keep * self.noise + add * float(noise),
      weight=keep * self.weight + add,
    )

  @property
  def batch(self) -> float | None:
    """B_simple = tr S / |G|^2, in the units of the batches; None while it has no sign."""
    if self.weight == 0 or self.signal <= 0 or self.noise <= 0:
      return None
    return self.noise / self.signal


def trade(batch: float, critical: float) -> tuple[float, float]:
  """(steps, examples), each over its minimum, when training at `batch`.

  1 + B_crit / B and 1 + B / B_crit: McCandlish et al. eq. 2.7 and 2.11; at the critical
  batch both are 2.
  """
  if not (batch > 0 and critical > 0):
    raise ValueError(f"batches must be above 0, not {batch} and {critical}.")
  return 1 + critical / batch, 1 + batch / critical
