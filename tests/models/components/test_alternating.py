"""Alternating: who computes what when, beside the rules of the papers.

That the loop computes what one device does is in tests/test_multidevice.py.
"""

import collections

import pytest

from models.components.execution import Execution
from models.components.pipeline_schedule import Schedule

CASES = [(2, 2, 1), (4, 4, 1), (4, 6, 1), (8, 32, 1), (2, 4, 2), (4, 8, 2), (4, 16, 5)]


@pytest.fixture(params=CASES, ids=str)
def schedule(request):
  return Schedule(*request.param)


def done(schedule, way):
  """{(microbatch, turn, stage): (tick, slot)}; each once."""
  found = {}
  for tick in range(schedule.ticks):
    for stage in range(schedule.stages):
      work = getattr(schedule, way)(tick, stage)
      if work.busy:
        key = (work.microbatch, work.turn, stage)
        assert key not in found
        found[key] = (tick, work.slot)
  return found


def test_every_microbatch_passes_every_piece_once_each_way(schedule):
  S, M, V = schedule.stages, schedule.microbatches, schedule.repeats
  everything = {(m, v, s) for m in range(M) for v in range(V) for s in range(S)}
  assert set(done(schedule, "forward")) == everything
  assert set(done(schedule, "backward")) == everything


def test_a_tick_passes_one_stage_on_and_the_last_one_turns_round(schedule):
  """So that one permutation each way serves all stages, and losses the last."""
  S, V = schedule.stages, schedule.repeats
  forward, backward = (done(schedule, way) for way in ("forward", "backward"))
  for (m, v, s), (tick, _) in forward.items():
    if (v, s) == (V - 1, S - 1):
      assert backward[m, v, s][0] == tick
      continue
    after = (m, v, s + 1) if s < S - 1 else (m, v + 1, 0)
    assert forward[after][0] == tick + 1
    assert backward[m, v, s][0] == backward[after][0] + 1


def test_stages_wait_as_long_as_narayanan_et_al_count(schedule):
  """arXiv:2104.04473, section 2.2: waiting over computing is (S - 1) / (V M), each way."""
  S, M, V = schedule.stages, schedule.microbatches, schedule.repeats
  for way in ("forward", "backward"):
    ticks = [tick for tick, _ in done(schedule, way).values()]
    computed = 1 + max(ticks) - min(ticks)
    assert (computed - V * M) / (V * M) == pytest.approx((S - 1) / (V * M))
  # The program computes one way alone before the first loss and after the last one.
  assert max(t for t, _ in done(schedule, "forward").values()) == schedule.ticks - (
    schedule.lead + 1
  )
  assert min(t for t, _ in done(schedule, "backward").values()) == schedule.lead


def test_what_waits_is_bounded_whatever_the_microbatches(schedule):
  """No slot is written while it is needed: an input comes in before the backward pass of
  its tick reads, and stays for it."""
  forward, backward = (done(schedule, way) for way in ("forward", "backward"))
  taken = collections.defaultdict(list)
  for key, (tick, slot) in forward.items():
    assert backward[key][1] == slot
    taken[key[2], slot].append((tick, backward[key][0]))
  for spans in taken.values():
    spans.sort()
    for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
      assert end < start
  most = 0
  for stage in range(schedule.stages):
    for now in range(schedule.ticks):
      waiting = sum(
        a <= now <= b for (s, _), spans in taken.items() if s == stage for a, b in spans
      )
      most = max(most, waiting)
  assert most <= schedule.slots == 2 * schedule.stages * schedule.repeats - 1


def test_an_unknown_schedule_is_an_error():
  with pytest.raises(ValueError, match="'1F1B' is unknown; use one of gpipe, 1f1b"):
    Execution(pipeline_schedule="1F1B")


def test_pieces_without_recomputation_need_the_other_schedule():
  with pytest.raises(ValueError, match="or pipeline_schedule='1f1b'"):
    Execution(pipeline_repeats=2)
  Execution(pipeline_repeats=2, pipeline_schedule="1f1b")
