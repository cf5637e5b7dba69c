"""CodeT5+: two ways of causal language modelling with an encoder-decoder (2305.07922, 3.1).

You are in: t5x_like/data/objectives, pure numpy. Both are used behind a token [CLM], in a
mixture with codet5.WordSpans: prefixed.py, mix.py. The second stage of the paper needs
no objective of its own; its pairs are made by supervised.py behind tokens, and their losses
by models/components/paired.py:

  contrastive  inputs [CLS] text EOS, targets [CLS] code EOS: both for the encoder, a loss
               compares the states at the first position
  matching     inputs [CLS] text EOS, targets [Match] code EOS: a loss pairs the inputs of
               a batch with targets of others and classifies the decoder's state at EOS
  generation   dual_generation.py
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from t5x_like.data.objectives.ids import Example, Ids, closed


@dataclasses.dataclass(frozen=True, kw_only=True)
class PivotLM:
  """The encoder reads up to a pivot, the decoder writes the rest.

  lowest: the pivot is uniform from this share of the tokens to all but one of them.
  """

  lowest: float = 0.05

  fields = ("text",)
  features = ("inputs", "targets")
  append_eos = False

  def __post_init__(self):
    if not 0.0 <= self.lowest < 1.0:
      raise ValueError(f"PivotLM(lowest={self.lowest}): a share from 0 to below 1.")

  def chunk(self, lengths: dict[str, int], ids: Ids) -> int:
    """Tokens of an example; each side must hold all but one of them, and EOS."""
    del ids
    return min(lengths["inputs"], lengths["targets"])

  def __call__(
    self,
    example: Example,
    rng: np.random.Generator,
    ids: Ids,
    lengths: dict[str, int],
  ) -> Example:
    """text [L], L >= 2 -> inputs [P + 1], targets [L - P + 1], both closed by EOS."""
    del lengths
    tokens = example["text"]
    length = len(tokens)
    if length < 2:
      raise ValueError(f"A pivot needs 2 tokens or more, got {length}.")
    lowest = min(max(math.ceil(self.lowest * length), 1), length - 1)
    pivot = int(rng.integers(lowest, length))
    return {
      "inputs": closed([tokens[:pivot]], ids.eos),
      "targets": closed([tokens[pivot:]], ids.eos),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class WholeLM:
  """The encoder reads nothing but a prefix, the decoder writes everything."""

  fields = ("text",)
  features = ("inputs", "targets")
  append_eos = False

  def chunk(self, lengths: dict[str, int], ids: Ids) -> int:
    """Tokens that fill the targets with EOS."""
    del ids
    if lengths["inputs"] < 1:
      raise ValueError(
        "WholeLM needs inputs for a prefix and EOS. Set 'inputs' in "
        f"TASK_FEATURE_LENGTHS higher by {1 - lengths['inputs']}."
      )
    return lengths["targets"] - 1

  def __call__(
    self,
    example: Example,
    rng: np.random.Generator,
    ids: Ids,
    lengths: dict[str, int],
  ) -> Example:
    """text [L] -> inputs [1], targets [L + 1], both closed by EOS."""
    del rng, lengths
    return {
      "inputs": closed([], ids.eos),
      "targets": closed([example["text"]], ids.eos),
    }
