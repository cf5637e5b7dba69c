"""Pipeline: how long it takes, and what cannot be cut into stages.

That stages compute what one device does is in tests/test_multidevice.py.
"""

import jax
import numpy as np
import pytest

from models.components import deal, pipeline
from models.components.by_row import drawn, keys_of
from models.components.context import Context, unconstrained
from models.components.execution import Execution
from models.components.shared_stack import SharedStack
from models.components.spec import replace
from models.components.stack import Stack, check_stages
from models.families import llama

MODEL = llama.llama(dim=32, hidden=64, heads=4, kv_heads=4, layers=6, vocab=96)


def stages(count=4, data=2):
  mesh = jax.sharding.AbstractMesh((count, data), ("pipeline", "data"))
  return pipeline.Stages(
    mesh=mesh, axis="pipeline", rows=("data",), constrain=unconstrained
  )


def test_the_last_microbatch_leaves_after_as_many_ticks_as_huang_et_al_count():
  """arXiv:1811.06965, section 2.3: a share of (S - 1) / (M + S - 1) is waiting."""
  for count, microbatches in ((4, 4), (4, 16), (8, 32)):
    # Stage s computes microbatch m in tick s + m.
    busy = {(s + m, s) for s in range(count) for m in range(microbatches)}
    turns = 1 + max(tick for tick, _ in busy)
    assert pipeline.ticks(count, microbatches) == turns
    waiting = 1 - len(busy) / (turns * count)
    assert waiting == pytest.approx((count - 1) / (microbatches + count - 1))


def test_interleaved_ticks_are_narayanan_et_als():
  """Section 2.2 of arXiv:2104.04473: waiting over computing is (S - 1) / (V M). Ours is one
  tick longer."""
  for count, microbatches, repeats in ((4, 4, 2), (4, 16, 2), (8, 32, 4)):
    # Stage s computes turn v of microbatch g S + i in tick (g V + v) S + i + s, once
    # stage S - 1 has computed turn v - 1 of it, in the tick before stage 0's.
    busy = {
      ((g * repeats + v) * count + i + s, s): (g, v, i)
      for g in range(microbatches // count)
      for v in range(repeats)
      for i in range(count)
      for s in range(count)
    }
    assert len(busy) == microbatches * repeats * count  # no stage does two at once
    needed = 1 + max(tick for tick, _ in busy)
    assert pipeline.ticks(count, microbatches, repeats) == needed + 1
    waiting = (needed * count - len(busy)) / len(busy)
    assert waiting == pytest.approx((count - 1) / (repeats * microbatches))


@pytest.mark.parametrize(
  "count, hands", [(2, 2), (4, 2), (2, 4), (4, 3), (3, 4), (8, 4)]
)
def test_pieces_are_dealt_in_turn(count, hands):
  held = [[s * hands + j for j in range(hands)] for s in range(count)]
  found = [[None] * hands for _ in range(count)]
  sent_by = [0] * count
  for sent, taken, pairs in deal._moves(count, hands):
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    for source, target in pairs:
      assert taken[target] < hands and found[target][taken[target]] is None
      found[target][taken[target]] = held[source][sent[source]]
      sent_by[source] += source != target
    idle = set(range(count)) - {target for _, target in pairs}
    assert {taken[device] for device in idle} <= {hands}
  assert found == [[v * count + s for v in range(hands)] for s in range(count)]
  assert max(sent_by) <= hands  # no piece twice


def test_repeats_need_whole_groups_of_microbatches_and_layers():
  again = replace(stages(), repeats=2)
  assert pipeline.microbatches_of(again, 8, 16) == 8
  with pytest.raises(ValueError, match="6 must be a multiple of 4 stages"):
    pipeline.microbatches_of(again, 6, 24)
  with pytest.raises(ValueError, match="do not divide over 2 stages of 2 pieces"):
    check_stages(MODEL.decoder, 2, 2)
  with pytest.raises(ValueError, match="pipeline_repeats=0 must be positive"):
    Execution(pipeline_repeats=0)


def test_as_many_microbatches_as_stages_unless_told():
  assert pipeline.microbatches_of(stages(), None, 16) == 4
  assert pipeline.microbatches_of(stages(), 8, 16) == 8


def test_a_batch_that_microbatches_do_not_divide_is_an_error():
  with pytest.raises(ValueError, match="12 rows .* 4 microbatches .* multiple of 8"):
    pipeline.microbatches_of(stages(), None, 12)


def test_layers_that_stages_do_not_divide_are_an_error():
  check_stages(MODEL.decoder, 3)
  with pytest.raises(ValueError, match="6 equal layers, from layer 0 on.* 4 stages"):
    check_stages(MODEL.decoder, 4)


def test_a_layer_that_differs_is_an_error():
  block = MODEL.decoder.blocks[0]
  first = replace(block, ffn=replace(block.ffn, hidden=32))
  with pytest.raises(ValueError, match="1 equal layers, from layer 0 on"):
    check_stages(Stack(blocks=(first, *4 * (block,))), 4)


def test_alternating_layers_are_cut_between_their_groups():
  block = MODEL.decoder.blocks[0]
  other = replace(block, ffn=replace(block.ffn, hidden=32))
  check_stages(Stack(blocks=4 * (block, other)), 4)
  with pytest.raises(ValueError, match="2 equal groups of 2 layers"):
    check_stages(Stack(blocks=2 * (block, other)), 4)


def test_layers_that_are_one_cannot_be_cut():
  with pytest.raises(ValueError, match="SharedStack has no layers of its own"):
    check_stages(SharedStack(blocks=MODEL.decoder.blocks), 2)


def test_decoding_is_refused():
  layer = MODEL.decoder.build(32)
  tokens = np.ones((2, 1), np.int32)
  ctx = Context(segments_BT=tokens, positions_BT=tokens, stages=stages())
  with pytest.raises(ValueError, match="decode without a pipeline"):
    layer(np.zeros((2, 1, 32), np.float32), ctx, cache={})


def test_a_rows_random_numbers_do_not_depend_on_other_rows():
  key, rows = jax.random.key(0), np.arange(6)
  whole = drawn(jax.random.normal, keys_of(key, rows), (6, 3, 5))
  part = drawn(jax.random.normal, keys_of(key, rows[1::2]), (3, 3, 5))
  np.testing.assert_array_equal(whole[1::2], part)
  assert len(np.unique(whole)) == whole.size
  turned = drawn(jax.random.normal, keys_of(key, rows), (3, 6, 5), axis=1)
  np.testing.assert_array_equal(turned, np.swapaxes(whole, 0, 1))
