"""Smoothing: probabilities for words that a context was never seen with.

You are in: models/ancestors. NumPy alone. Each method is a value with one function, from
what was counted after a context and the distribution of the context one word shorter to
a distribution. Chen and Goodman 1999 (Computer Speech and Language 13, 359) compare
them; sections are theirs. ngram.py counts and calls.

Shapes: U words seen after the context, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

method = dataclasses.dataclass(frozen=True, kw_only=True)


@method
class Seen:
  """What was counted after one context: words_U and counts_U. of_counts[r]: how many
  n-grams of this order, of all contexts, were counted r times, r = 0..6."""

  words_U: np.ndarray
  counts_U: np.ndarray
  of_counts: np.ndarray

  @property
  def total(self) -> float:
    """Words counted after the context."""
    return float(self.counts_U.sum())

  def spread(self, values_U: np.ndarray, vocab: int) -> np.ndarray:
    """[V]: the values at the words that were seen, 0 elsewhere."""
    out_V = np.zeros(vocab)
    out_V[self.words_U] = values_U
    return out_V


@method
class Smoothing:
  """continuation: shorter n-grams are counted by the number of different words in front
  of them (Kneser and Ney), not by how often they occur."""

  continuation: ClassVar[bool] = False

  def __call__(self, seen: Seen, lower_V: np.ndarray) -> np.ndarray:
    """[V] after a context that was seen; lower_V: after the context one word shorter."""
    raise NotImplementedError

  def unseen(self, lower_V: np.ndarray) -> np.ndarray:
    """[V] after a context that was never seen."""
    return lower_V


@method
class AddK(Smoothing):
  """(c + k) / (N + k V): Lidstone; Laplace's rule with k = 1 (section 2.1)."""

  k: float = 1.0

  def __call__(self, seen, lower_V):
    counts_V = seen.spread(seen.counts_U, len(lower_V))
    return (counts_V + self.k) / (seen.total + self.k * len(lower_V))

  def unseen(self, lower_V):
    return np.full_like(lower_V, 1 / len(lower_V))


@method
class JelinekMercer(Smoothing):
  """weight c / N + (1 - weight) lower (section 2.3), one weight for all contexts."""

  weight: float = 0.7

  def __call__(self, seen, lower_V):
    own_V = seen.spread(seen.counts_U / seen.total, len(lower_V))
    return self.weight * own_V + (1 - self.weight) * lower_V


@method
class WittenBell(Smoothing):
  """(c + U lower) / (N + U): as much for new words as words were new (section 2.5)."""

  def __call__(self, seen, lower_V):
    kinds = len(seen.words_U)
    counts_V = seen.spread(seen.counts_U, len(lower_V))
    return (counts_V + kinds * lower_V) / (seen.total + kinds)


@method
class Discounting(Smoothing):
  """(max(c - D, 0) + what was taken * lower) / N, D from a table by count."""

  def discounts(self, of_counts: np.ndarray) -> np.ndarray:
    """What is taken from a count of 1, of 2, and of more."""
    raise NotImplementedError

  def __call__(self, seen, lower_V):
    taken = self.discounts(seen.of_counts)
    taken_U = taken[np.minimum(seen.counts_U, 3).astype(int) - 1]
    taken_U = np.minimum(taken_U, seen.counts_U)
    kept_V = seen.spread((seen.counts_U - taken_U) / seen.total, len(lower_V))
    return kept_V + taken_U.sum() / seen.total * lower_V


@method
class AbsoluteDiscounting(Discounting):
  """One D for all counts: given, or n1 / (n1 + 2 n2) of the order (section 2.6).

  fallback: D of an order in which nothing was seen once, where no estimate exists.
  """

  discount: float | None = None
  fallback: float = 0.75

  def discounts(self, of_counts):
    if self.discount is not None:
      return np.full(3, self.discount)
    once, twice = of_counts[1], of_counts[2]
    return np.full(3, once / (once + 2 * twice) if once else self.fallback)


@method
class KneserNey(AbsoluteDiscounting):
  """Absolute discounting with continuation counts in shorter contexts, interpolated
  (section 2.7; Kneser and Ney 1995)."""

  continuation: ClassVar[bool] = True


@method
class ModifiedKneserNey(Discounting):
  """D1, D2, D3+ = r - (r + 1) Y n(r+1) / n(r), Y = n1 / (n1 + 2 n2) (section 3.1).

  fallback: the three of an order whose counts do not allow this estimate.
  """

  continuation: ClassVar[bool] = True
  fallback: tuple[float, float, float] = (0.5, 1.0, 1.5)

  def discounts(self, of_counts):
    r = np.arange(1, 4)
    if not of_counts[r].all():
      return np.array(self.fallback)
    Y = of_counts[1] / (of_counts[1] + 2 * of_counts[2])
    found = r - (r + 1) * Y * of_counts[r + 1] / of_counts[r]
    return found if (found >= 0).all() else np.array(self.fallback)


@method
class GoodTuring(Smoothing):
  """r* = (r + 1) n(r+1) / n(r) for counts up to `most`; what is left goes to the words
  that were not seen, in equal parts (section 2.2).

  Counts above `most` are trusted, and discounts scaled so that n1 / N is left (section
  2.4). Of an order, `most` is lowered until its counts of counts allow it. Where nothing
  is left, as in an order without words seen once, one count more makes it 1 / (N + 1).
  """

  most: int = 5

  def __call__(self, seen, lower_V):
    ratio_by_count = self.ratios(seen.of_counts)
    ratios_U = ratio_by_count[np.minimum(seen.counts_U, 6).astype(int)]
    kept_V = seen.spread(ratios_U * seen.counts_U / seen.total, len(lower_V))
    share_V = self.shares(lower_V)
    share_V = np.where(seen.spread(np.ones_like(ratios_U), len(lower_V)), 0, share_V)
    if not share_V.any():  # every word was seen
      return kept_V / kept_V.sum()
    if kept_V.sum() > 1 - 1e-9:
      kept_V = kept_V * seen.total / (seen.total + 1)
    return kept_V + (1 - kept_V.sum()) * share_V / share_V.sum()

  def shares(self, lower_V: np.ndarray) -> np.ndarray:
    """What unseen words get is proportional to this."""
    return np.ones_like(lower_V)

  def ratios(self, of_counts: np.ndarray) -> np.ndarray:
    """r* / r of the counts r = 0..6, 1 for those that are trusted."""
    for most in range(min(self.most, 5), 0, -1):
      r, n = np.arange(1, most + 1), of_counts
      if not n[1 : most + 1].all():
        continue
      beyond = (most + 1) * n[most + 1] / n[1]
      if beyond >= 1:
        continue
      found = ((r + 1) * n[r + 1] / (r * n[r]) - beyond) / (1 - beyond)
      if (found > 0).all() and (found <= 1).all():
        return np.concatenate([[1.0], found, np.ones(6 - most)])
    return np.ones(7)


@method
class Katz(GoodTuring):
  """Good-Turing counts; what is left goes to unseen words by the shorter context, which
  is asked for them alone: a back-off (section 2.4; Katz 1987)."""

  def shares(self, lower_V):
    return lower_V


@method
class StupidBackoff(Smoothing):
  """c / N, and `factor` times the shorter context's score for the rest (Brants et al.
  2007): scores that do not sum to one, without a perplexity."""

  factor: float = 0.4

  def __call__(self, seen, lower_V):
    own_V = seen.spread(seen.counts_U / seen.total, len(lower_V))
    return np.where(own_V > 0, own_V, self.factor * lower_V)

  def unseen(self, lower_V):
    return self.factor * lower_V
