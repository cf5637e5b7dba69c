"""N-grams: sums, closed forms, numbers worked out by hand, and NLTK where installed."""

import itertools
import math

import numpy as np
import pytest

from models.ancestors import smoothing
from models.ancestors.ngram import BEGIN, fit, padded_grams

VOCAB, ORDER = 12, 3
SMOOTHINGS = {
  "add k": smoothing.AddK(k=0.5),
  "Good-Turing": smoothing.GoodTuring(),
  "Jelinek-Mercer": smoothing.JelinekMercer(weight=0.6),
  "Katz": smoothing.Katz(),
  "Witten-Bell": smoothing.WittenBell(),
  "absolute discounting": smoothing.AbsoluteDiscounting(),
  "Kneser-Ney": smoothing.KneserNey(),
  "modified Kneser-Ney": smoothing.ModifiedKneserNey(),
}
CLOSE = 1e-12  # float64, sums of VOCAB terms


def documents(seed: int = 0, count: int = 6) -> list[np.ndarray]:
  """Skewed draws, in which word 11 never occurs and some n-grams occur once."""
  rng = np.random.default_rng(seed)
  weights = 1 / np.arange(1, VOCAB) ** 1.5
  draw = lambda: rng.choice(VOCAB - 1, size=40, p=weights / weights.sum())
  return [draw() for _ in range(count)]


def model(name: str, order: int = ORDER, **options):
  return fit(
    documents(), order=order, vocab=VOCAB, smoothing=SMOOTHINGS[name], **options
  )


@pytest.mark.parametrize("name", SMOOTHINGS)
def test_probabilities_after_any_context_sum_to_one(name):
  fitted = model(name)
  words = range(BEGIN, VOCAB)
  for context in [(), *itertools.product(words, repeat=2)]:
    p_V = fitted.distribution(context)
    assert p_V.min() >= 0 and abs(p_V.sum() - 1) < CLOSE, context


@pytest.mark.parametrize("name", SMOOTHINGS)
def test_a_word_that_was_never_seen_is_possible(name):
  for context in ((0, 0), (5, 9), (11, 11)):
    assert model(name).distribution(context)[11] > 0


@pytest.mark.parametrize("name", SMOOTHINGS)
@pytest.mark.parametrize("order", [1, 2])
def test_shorter_orders_sum_to_one_too(name, order):
  fitted = model(name, order)
  for context in ((), (0,), (11,)):
    assert abs(fitted.distribution(context).sum() - 1) < CLOSE


def test_scores_are_the_logarithms_of_distributions_and_perplexity_their_mean():
  fitted, text = model("Witten-Bell"), documents(1, 1)[0]
  context, expected = [BEGIN, BEGIN], []
  for word in text:
    expected.append(math.log(fitted.distribution(context)[word]))
    context.append(word)
  np.testing.assert_allclose(fitted.log_probabilities(text), expected, rtol=CLOSE)
  perplexity = math.exp(-sum(expected) / len(text))
  assert fitted.perplexity([text]) == pytest.approx(perplexity, rel=CLOSE)


def test_perplexity_of_a_fair_die_is_its_number_of_faces():
  faces = [np.random.default_rng(0).integers(0, 6, 60_000)]
  fitted = fit(faces, order=2, vocab=6, smoothing=smoothing.KneserNey())
  # The mean of 60,000 draws varies by 1/sqrt(60,000).
  assert fitted.perplexity(faces) == pytest.approx(6.0, rel=0.005)


def test_perplexity_of_a_chain_is_two_to_its_entropy():
  """Stays with probability 3/4: 0.8113 bits a word (Shannon 1948, section 7)."""
  rng = np.random.default_rng(0)
  words = np.cumsum(rng.random(60_000) > 0.75) % 2
  fitted = fit([words], order=3, vocab=2, smoothing=smoothing.AddK(k=1.0))
  bits = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
  assert fitted.perplexity([words]) == pytest.approx(2**bits, rel=0.01)


# a a b a c: counts a 3, b 1, c 1; after a: a, b, c once each; d is never seen.
TEXT = [np.array([0, 0, 1, 0, 2])]
BY_HAND = {
  "Laplace": (smoothing.AddK(k=1.0), (1 + 1) / (3 + 4), 1 / 7),
  "Jelinek-Mercer": (
    smoothing.JelinekMercer(weight=0.5),
    0.5 / 3 + 0.5 * (0.5 / 5 + 0.5 / 4),
    0.5 * 0.5 / 4,
  ),
  "Witten-Bell": (
    smoothing.WittenBell(),
    (1 + 3 * (1 + 3 / 4) / 8) / 6,
    3 * (3 / 4 / 8) / 6,
  ),
  "absolute": (
    smoothing.AbsoluteDiscounting(discount=0.5),
    0.5 / 3 + 0.5 * (0.5 / 5 + 1.5 / 5 / 4),
    0.5 * (1.5 / 5 / 4),
  ),
  # In front of a stand a beginning, a and b; of b and of c, a: 3, 1 and 1 of 5.
  "Kneser-Ney": (
    smoothing.KneserNey(discount=0.5),
    0.5 / 3 + 0.5 * (0.5 / 5 + 1.5 / 5 / 4),
    0.5 * (1.5 / 5 / 4),
  ),
  "stupid back-off": (smoothing.StupidBackoff(), 1 / 3, 0.4 * 0.4 / 4),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_bigram_is_what_comes_out_by_hand(name):
  method, b, d = BY_HAND[name]
  p_V = fit(TEXT, order=2, vocab=4, smoothing=method).distribution([0])
  np.testing.assert_allclose(p_V[[1, 3]], [b, d], rtol=CLOSE)


def test_continuations_count_what_stands_in_front():
  """ "San Francisco": frequent, but after one word alone."""
  text = np.array([1, 2] * 8 + [3, 4, 5, 4, 6, 4, 0, 4])
  p = {}
  for name in ("absolute discounting", "Kneser-Ney"):
    method = SMOOTHINGS[name]
    p[name] = fit([text], order=2, vocab=8, smoothing=method).distribution([7])
  assert p["absolute discounting"][2] > p["absolute discounting"][4]
  assert p["Kneser-Ney"][2] < p["Kneser-Ney"][4]


def test_discounts_are_those_of_chen_and_goodman():
  of_counts = np.array([0, 100.0, 40, 20, 12, 8, 5])
  found = smoothing.ModifiedKneserNey().discounts(of_counts)
  Y = 100 / 180
  expected = [1 - 2 * Y * 40 / 100, 2 - 3 * Y * 20 / 40, 3 - 4 * Y * 12 / 20]
  np.testing.assert_allclose(found, expected, rtol=CLOSE)
  assert smoothing.AbsoluteDiscounting().discounts(of_counts)[0] == Y


def test_katz_leaves_to_unseen_words_what_good_turing_says():
  """Discounts of r = 1..most add up to n1: sum of n_r r (1 - d_r)."""
  n = np.array([0, 1000.0, 450, 270, 180, 130, 100])
  r, d = np.arange(1, 6), smoothing.Katz().ratios(n)
  assert (d[1:6] < 1).all() and d[6] == 1
  assert (n[r] * r * (1 - d[r])).sum() == pytest.approx(n[1], rel=CLOSE)


def test_katz_backs_off_in_proportion_to_shorter_contexts():
  fitted = model("Katz")
  context = next(c for c, s in fitted.seen[2].items() if len(s.words_U) == 3)
  unseen = np.setdiff1d(np.arange(VOCAB), fitted.seen[2][context].words_U)
  ratio = (
    fitted.distribution(context)[unseen] / fitted.distribution(context[1:])[unseen]
  )
  np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


def test_better_smoothings_predict_held_out_text_better():
  """Chen and Goodman's order, on text that its writer makes with two words of memory."""
  rng = np.random.default_rng(3)
  table = rng.dirichlet(np.full(30, 0.05), size=(30, 30))

  def written(length):
    words = [0, 1]
    for _ in range(length):
      words.append(int(rng.choice(30, p=table[words[-2], words[-1]])))
    return [np.array(words)]

  seen, held_out = written(3000), written(1000)
  found = {
    name: fit(seen, order=3, vocab=30, smoothing=method).perplexity(held_out)
    for name, method in SMOOTHINGS.items()
  }
  assert found["modified Kneser-Ney"] < found["add k"]
  assert found["Katz"] < found["add k"]
  assert found["Witten-Bell"] < found["add k"]


def test_samples_follow_their_distribution():
  chain = [np.tile([0, 1, 2], 200)]
  fitted = fit(chain, order=2, vocab=3, smoothing=smoothing.WittenBell())
  drawn = fitted.sample(np.random.default_rng(0), 60)
  assert np.mean((drawn[1:] - drawn[:-1]) % 3 == 1) > 0.9


@pytest.mark.parametrize(
  "text, order, message",
  [([1], 0, "order=0"), ([], 2, "no token"), ([12], 2, r"lie in \[0, 12\)")],
)
def test_what_cannot_be_counted_is_an_error(text, order, message):
  with pytest.raises(ValueError, match=message):
    fit([np.array(text)], order=order, vocab=VOCAB, smoothing=smoothing.AddK())


NLTK = {
  "Lidstone": (smoothing.AddK(k=0.3), "Lidstone", (0.3,)),
  "WittenBellInterpolated": (smoothing.WittenBell(), "WittenBellInterpolated", ()),
  "AbsoluteDiscountingInterpolated": (
    smoothing.AbsoluteDiscounting(discount=0.6),
    "AbsoluteDiscountingInterpolated",
    (),
  ),
  "KneserNeyInterpolated": (
    smoothing.KneserNey(discount=0.6),
    "KneserNeyInterpolated",
    (),
  ),
  "StupidBackoff": (smoothing.StupidBackoff(), "StupidBackoff", (0.4,)),
}


@pytest.mark.parametrize("name", NLTK)
def test_scores_are_those_of_nltk(name):
  """Its shortest context is not smoothed, and so is ours here; same n-grams to count."""
  lm = pytest.importorskip(
    "nltk.lm", reason="pip install nltk compares n-grams with it"
  )
  method, kind, arguments = NLTK[name]
  texts, words = documents(), range(BEGIN, VOCAB - 1)
  # Their vocabulary has the beginning and a token for unknown words besides.
  size = len(words) + 1
  ours = fit(texts, order=ORDER, vocab=size, smoothing=method, uniform=False)
  options = {"discount": 0.6} if isinstance(method, smoothing.Discounting) else {}
  theirs = getattr(lm, kind)(*arguments, order=ORDER, **options)
  grams = [
    tuple(map(str, gram))
    for length in range(1, ORDER + 1)
    for text in texts
    for gram in padded_grams(text, length)
  ]
  theirs.fit([grams], map(str, words))
  for context in itertools.product(words, repeat=ORDER - 1):
    p_V = ours.distribution(context)
    named = tuple(map(str, context))
    expected = [theirs.unmasked_score(str(word), named) for word in words if word >= 0]
    np.testing.assert_allclose(p_V[: len(expected)], expected, rtol=1e-9)
