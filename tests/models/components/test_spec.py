"""Specs as values: walk, rewrite, swap, fold, equality."""

import pytest

from models.components.ffn import FFN, GatedFFN
from models.components.norm import LayerNorm, RMSNorm
from models.components.spec import Swap, fold, replace, rewrite, swap, walk
from models.zoo import ZOO

TINY = ZOO["t5_1_1/tiny"]


def test_specs_that_say_the_same_are_equal_and_hash_alike():
  assert TINY.spec() == TINY.spec()
  assert hash(TINY.spec()) == hash(TINY.spec())
  assert TINY.spec() != replace(TINY.spec(), dropout=0.1)
  assert len({row.spec() for row in (ZOO["mt5/tiny"], TINY)}) == 1


def test_walk_visits_every_part_parents_first():
  paths = {path: type(node).__name__ for path, node in walk(TINY.spec())}
  assert next(iter(paths)) == ()
  assert paths[("encoder", "blocks", 0, "ffn")] == "GatedFFN"
  assert all(path[:-1] in paths or isinstance(path[-1], int) for path in paths if path)


def test_swap_replaces_a_part_everywhere_and_nothing_else():
  old = TINY.spec()
  new = swap(old, RMSNorm, LayerNorm())
  found = [node for _, node in walk(new)]
  assert not any(isinstance(node, RMSNorm) for node in found)
  norms = [node for _, node in walk(old) if isinstance(node, RMSNorm)]
  assert sum(isinstance(node, LayerNorm) for node in found) == len(norms)
  assert swap(new, LayerNorm, RMSNorm()) == old


def test_swapping_what_is_not_there_lists_the_parts():
  with pytest.raises(ValueError, match="'FFN' names no part.*GatedFFN.*RMSNorm"):
    Swap(old="FFN", new=FFN(hidden=8))(TINY.spec())


def test_rewrite_goes_leaves_first():
  seen = []
  rewrite(TINY.spec(), lambda node: seen.append(type(node).__name__) or node)
  assert seen[-1] == "EncoderDecoder"
  assert seen.index("RMSNorm") < seen.index("Block")


def test_fold_says_equal_neighbours_once():
  block, other = GatedFFN(hidden=8), FFN(hidden=8)
  text = fold((block, block, block, other, block))
  assert text.count("GatedFFN") == 2
  assert "3 x GatedFFN(hidden=8, act='silu', bias=False)" in text


def test_fold_of_a_large_model_stays_short():
  assert len(fold(ZOO["llama3_1/405b"].spec()).splitlines()) < 40
