"""Masks against the worked examples of T5X's decoder masks."""

import jax.numpy as jnp
import numpy as np
import pytest

from models.components.mask import (
  Causal,
  Columns,
  FixedBlocks,
  Full,
  PrefixCausal,
  Sight,
  Strided,
  Windowed,
  allowed,
)


def rows(mask, *, segments=None, prefix=None, length=7) -> list[str]:
  """One string of 0 and 1 a query."""
  index = jnp.arange(length)[None]
  segments = None if segments is None else jnp.array([segments])
  prefix = None if prefix is None else jnp.array([prefix])
  sight = Sight(
    query_BT=index,
    key_BS=index,
    query_segments_BT=segments,
    key_segments_BS=segments,
    query_prefix_BT=prefix,
    key_prefix_BS=prefix,
  )
  visible = np.broadcast_to(allowed(mask, sight), (1, length, length))
  return ["".join(str(int(x)) for x in row) for row in visible[0]]


def test_two_packed_prefixes():
  """The last position is padding: what it sees reaches no loss."""
  found = rows(
    PrefixCausal(), segments=[1, 1, 1, 2, 2, 2, 0], prefix=[1, 1, 0, 1, 1, 0, 0]
  )
  assert found[:6] == ["1100000", "1100000", "1110000", "0001100", "0001100", "0001110"]
  assert found[6] == "0000001"


def test_one_prefix():
  found = rows(
    PrefixCausal(), segments=[1, 1, 1, 1, 1, 0], prefix=[1, 1, 1, 0, 0, 0], length=6
  )
  assert found[:5] == ["111000", "111000", "111000", "111100", "111110"]


def test_causal_within_documents():
  found = rows(Causal(), segments=[1, 1, 1, 2, 2, 0, 0])
  assert found[:5] == ["1000000", "1100000", "1110000", "0001000", "0001100"]


def test_full_within_documents():
  found = rows(Full(), segments=[1, 1, 2, 2, 0], length=5)
  assert found[:4] == ["11000", "11000", "00110", "00110"]


def test_full_without_segments_needs_no_mask():
  index = jnp.arange(3)[None]
  assert allowed(Full(), Sight(query_BT=index, key_BS=index)) is None


def test_a_prefix_mask_without_prefixes_says_which_layout_has_them():
  with pytest.raises(ValueError, match="decoder_causal_attention.*PrefixDecoder"):
    rows(PrefixCausal())


def test_a_window_counts_the_position_itself():
  assert rows(Windowed(window=2), length=4) == ["1000", "1100", "0110", "0011"]


def test_strided_attention_of_a_row_of_seven():
  """Child et al. 2019, figure 3b, with a stride of 3: the last three, and every third."""
  assert rows(Strided(stride=3)) == [
    "1000000",
    "1100000",
    "1110000",
    "1111000",
    "0111100",
    "0011110",
    "1001111",
  ]


def test_fixed_attention_of_a_row_of_seven():
  """Child et al. 2019, figure 3c: the own block, and the last cell of those before."""
  assert rows(FixedBlocks(stride=3, summary=1)) == [
    "1000000",
    "1100000",
    "1110000",
    "0011000",
    "0011100",
    "0011110",
    "0010011",
  ]


@pytest.mark.parametrize(
  "mask",
  [
    Full(),
    Causal(),
    Windowed(window=3),
    Windowed(window=90),
    Strided(stride=4),
    Columns(stride=4),
    FixedBlocks(stride=5, summary=2),
  ],
)
@pytest.mark.parametrize("length", [1, 7, 23])
def test_keys_seen_on_average_are_those_of_the_mask(mask, length):
  index = jnp.arange(length)[None]
  visible = mask.visible(Sight(query_BT=index, key_BS=index))
  count = length**2 if visible is None else int(visible.sum())
  assert mask.seen(length) * length == pytest.approx(count)
