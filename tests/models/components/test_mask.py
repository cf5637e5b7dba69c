"""Masks against the worked examples of T5X's decoder masks."""

import jax.numpy as jnp
import numpy as np
import pytest

from models.components.mask import Causal, Full, PrefixCausal, Sight, allowed


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
