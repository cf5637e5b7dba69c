"""Ids: what an objective has to know of a vocabulary. Pure numpy.

You are in: t5x_like/data/objectives.
"""

from __future__ import annotations

import dataclasses

import numpy as np

Example = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ids:
  """eos; first_sentinel, from which `sentinels` ids count down."""

  eos: int
  first_sentinel: int = -1
  sentinels: int = 0

  def check_sentinels(self, spans: int, owner: str) -> None:
    """ValueError when `spans` need more sentinels than there are.

    T5X goes on counting down into ordinary words; a model then learns to emit those.
    """
    if spans > self.sentinels:
      raise ValueError(
        f"{owner} hides {spans} spans, but the vocabulary has {self.sentinels} "
        "sentinels. Raise mean_span, lower rate or the input length, or give the "
        "vocabulary more extra_ids."
      )


def closed(parts: list, eos: int) -> np.ndarray:
  """The parts joined, with EOS at the end."""
  return np.concatenate([*parts, [eos]]).astype(np.int32)
