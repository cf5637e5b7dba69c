"""N-grams: a language model that is a table of counts.

You are in: models/ancestors. NumPy alone, no gradient and no training loop: `fit` counts
documents of token ids, a smoothing (smoothing.py) says what unseen words get. Every
document is preceded by beginnings, which are part of contexts and never predicted; an
end is predicted where documents have one.

Shapes: T tokens of a document, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np

from models.ancestors.smoothing import Seen, Smoothing

BEGIN = -1  # stands before a document; no id of the vocabulary
MOST = 6  # counts of counts are kept up to here, as smoothings ask for them
Context = tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NGram:
  """P(w | the last order - 1 words).

  seen: for every length of a context, what was counted after each. uniform: whether the
  shortest context is smoothed towards 1 / V; otherwise it is its relative frequencies.
  """

  order: int
  vocab: int
  smoothing: Smoothing
  seen: tuple[dict[Context, Seen], ...]
  uniform: bool = True

  def distribution(self, context: Sequence[int]) -> np.ndarray:
    """[V] after these words, of which the last order - 1 count."""
    last = tuple(int(word) for word in context)[-(self.order - 1) :]
    return self._after(last if self.order > 1 else ())

  def log_probabilities(self, tokens: np.ndarray) -> np.ndarray:
    """[T]: the natural logarithm of each token's probability in its document."""
    grams = padded_grams(tokens, self.order)
    contexts, which = np.unique(grams[:, :-1], axis=0, return_inverse=True)
    found = np.zeros(len(grams))
    for number, context in enumerate(contexts):
      rows = np.flatnonzero(which.reshape(-1) == number)
      found[rows] = self.distribution(context)[grams[rows, -1]]
    with np.errstate(divide="ignore"):
      return np.log(found)

  def perplexity(self, documents: Iterable[np.ndarray]) -> float:
    """exp of the mean negative log-probability of a token."""
    logs = np.concatenate([self.log_probabilities(tokens) for tokens in documents])
    return float(np.exp(-logs.mean()))

  def sample(self, rng: np.random.Generator, length: int) -> np.ndarray:
    """A document of `length` tokens, each drawn from its distribution."""
    words = [BEGIN] * (self.order - 1)
    for _ in range(length):
      words.append(int(rng.choice(self.vocab, p=self.distribution(words))))
    return np.array(words[self.order - 1 :])

  def _after(self, context: Context) -> np.ndarray:
    # Long contexts are mostly asked once, short ones for every word.
    return self._shared(context) if len(context) < 2 else self._smoothed(context)

  @functools.cached_property
  def _shared(self):
    return functools.cache(self._smoothed)

  def _smoothed(self, context: Context) -> np.ndarray:
    seen = self.seen[len(context)].get(context)
    if context:
      lower_V = self._after(context[1:])
    elif self.uniform:
      lower_V = np.full(self.vocab, 1 / self.vocab)
    else:
      return seen.spread(seen.counts_U / seen.total, self.vocab)
    return (
      self.smoothing.unseen(lower_V) if seen is None else self.smoothing(seen, lower_V)
    )


def fit(
  documents: Iterable[np.ndarray],
  *,
  order: int,
  vocab: int,
  smoothing: Smoothing,
  uniform: bool = True,
) -> NGram:
  """Counts documents of ids in [0, vocab).

  Raises:
    ValueError: order below 1, an id outside of the vocabulary, or nothing to count.
  """
  documents = [np.asarray(tokens) for tokens in documents]
  if order < 1:
    raise ValueError(f"order={order} must be 1 (no context) or more.")
  if not sum(map(len, documents)):
    raise ValueError("The documents have no token to count. Give at least one.")
  for tokens in documents:
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocab:
      raise ValueError(f"Ids {tokens.min()}..{tokens.max()} must lie in [0, {vocab}).")
  grams = np.concatenate([padded_grams(tokens, order) for tokens in documents])
  kinds, counts = np.unique(grams, axis=0, return_counts=True)
  tables = [_table(kinds, counts)]
  for _ in range(order - 1):
    if smoothing.continuation:
      counts = np.ones(len(kinds), int)  # each kind counts once, whatever is in front
    kinds, counts = _shortened(kinds, counts)
    tables.append(_table(kinds, counts))
  return NGram(
    order=order,
    vocab=vocab,
    smoothing=smoothing,
    seen=tuple(reversed(tables)),
    uniform=uniform,
  )


def padded_grams(tokens: np.ndarray, order: int) -> np.ndarray:
  """[T, order]: every token behind the order - 1 that precede it."""
  padded = np.concatenate([np.full(order - 1, BEGIN), tokens]).astype(np.int64)
  return np.lib.stride_tricks.sliding_window_view(padded, order)


def _shortened(kinds: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """n-grams without their first word, counts of equal ones added."""
  shorter, which = np.unique(kinds[:, 1:], axis=0, return_inverse=True)
  return shorter, np.bincount(which.reshape(-1), weights=counts)


def _table(kinds: np.ndarray, counts: np.ndarray) -> dict[Context, Seen]:
  """What follows each context; kinds are sorted, so equal contexts are neighbours."""
  of_counts = np.bincount(np.minimum(counts, MOST + 1).astype(int), minlength=MOST + 2)
  change = (kinds[1:, :-1] != kinds[:-1, :-1]).any(axis=1)
  starts = np.concatenate([[0], np.flatnonzero(change) + 1])
  ends = np.append(starts[1:], len(kinds))
  return {
    tuple(kinds[start, :-1].tolist()): Seen(
      words_U=kinds[start:end, -1],
      counts_U=counts[start:end],
      of_counts=of_counts[: MOST + 1].astype(float),
    )
    for start, end in zip(starts, ends, strict=True)
  }
