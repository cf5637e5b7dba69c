"""Runs of equal blocks, found by equality."""

from models.components.stack import runs


def test_runs_finds_equal_neighbours_and_repeating_patterns():
  assert runs(tuple("aaab")) == [(0, 1, 3), (3, 1, 1)]
  assert runs(tuple("ababc")) == [(0, 2, 2), (4, 1, 1)]
  assert runs(tuple("abcabcabc")) == [(0, 3, 3)]
  assert runs(tuple("abbb")) == [(0, 1, 1), (1, 1, 3)]
  assert runs(tuple("a")) == [(0, 1, 1)]
  assert runs(()) == []


def test_runs_covers_every_block_once():
  for blocks in ("aabbaabb", "abcdabcdab", "aaabaaab", "abcba"):
    covered = [
      at
      for first, period, count in runs(tuple(blocks))
      for at in range(first, first + period * count)
    ]
    assert covered == list(range(len(blocks)))


def test_dense_layers_before_sparse_ones_make_two_runs():
  assert runs((("dense",),) + 59 * (("sparse",),)) == [(0, 1, 1), (1, 1, 59)]
