"""Reading partitioned programs: groups, loops, sums that are cut or added."""

import re

import pytest

from t5x_like.planner import hlo

PROGRAM = """HloModule jit_train_step, num_partitions=8

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%body (p: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  %p = (s32[], f32[4,8]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %x = f32[4,8]{1,0} get-tuple-element(%p), index=1
  %w = bf16[8,16]{1,0} all-gather(%half), replica_groups=[2,4]<=[4,2]T(1,0), dimensions={0}
  %y = f32[4,16]{1,0} dot(%x, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %t = (s32[], f32[4,8]) tuple(%i, %x)
}

%condition (p.1: (s32[], f32[4,8])) -> pred[] {
  %p.1 = (s32[], f32[4,8]) parameter(0)
  %i.1 = s32[] get-tuple-element(%p.1), index=0
  %limit = s32[] constant(5)
  ROOT %lt = pred[] compare(%i.1, %limit), direction=LT
}

ENTRY %main (q: f32[4,8]) -> f32[4,8] {
  %q = f32[4,8]{1,0} parameter(0)
  %zero = s32[] constant(0)
  %start = (s32[], f32[4,8]) tuple(%zero, %q)
  %loop = (s32[], f32[4,8]) while(%start), condition=%condition, body=%body
  %r = f32[4,8]{1,0} get-tuple-element(%loop), index=1
  %one = f32[4,8]{1,0} all-reduce(%r), replica_groups=[4,2]<=[8], to_apply=%add
  %two = f32[4,8]{1,0} all-reduce(%q), replica_groups=[4,2]<=[8], to_apply=%add
  %both = f32[4,8]{1,0} add(%one, %two)
  %cut = f32[4,8]{1,0} all-reduce(%both), replica_groups={{0,2,4,6},{1,3,5,7}}, to_apply=%add
  %flat = f32[32]{0} reshape(%cut)
  %piece = f32[8]{0} dynamic-slice(%flat, %zero), dynamic_slice_sizes={8}
  ROOT %out = f32[4,8]{1,0} broadcast(%piece)
}
"""


def newer(text):
  """The same program as XLA of jax 0.12 writes it: parts of tuples have no lines."""
  lines, names = [], {}
  for line in text.splitlines():
    part = re.match(r"\s*%(\S+) = \S+ get-tuple-element\(%(\S+)\), index=(\d+)", line)
    if part:
      names[f"%{part[1]}"] = f"%{part[2]}#{part[3]}"
    else:
      lines.append(line)
  return "\n".join(
    re.sub(r"%[\w.]+", lambda name: names.get(name[0], name[0]), line) for line in lines
  )


def test_parts_of_tuples_are_read_either_way():
  assert "get-tuple-element" not in newer(PROGRAM) and "%p#1" in newer(PROGRAM)
  assert hlo.collectives(newer(PROGRAM)) == hlo.collectives(PROGRAM)
  assert hlo.product_flops(newer(PROGRAM)) == hlo.product_flops(PROGRAM)


def test_collectives_of_a_program():
  found = {(c.kind, c.group, c.bytes, c.times) for c in hlo.collectives(PROGRAM)}
  assert found == {
    # Five turns; 8 x 16 numbers of two bytes.
    ("all-gather", (0, 2, 4, 6), 256, 5),
    # Two sums that are added are one; 4 x 8 numbers of four bytes.
    ("all-reduce", (0, 1), 128, 1),
    # A sum of which every device keeps a part.
    ("reduce-scatter", (0, 2, 4, 6), 128, 1),
  }


def test_a_device_is_as_busy_as_the_exchanges_that_it_takes_part_in():
  """Of three of 32 bytes each, devices 0, 1 and 2 in two, device 3 in one."""
  text = """ENTRY %main (q: f32[8]) -> f32[8] {
  %q = f32[8]{0} parameter(0)
  %a = f32[8]{0} collective-permute(%q), source_target_pairs={{0,1},{1,2}}
  %b = f32[8]{0} collective-permute(%a), source_target_pairs={{3,3},{1,0}}
  ROOT %c = f32[8]{0} collective-permute(%b), source_target_pairs={{2,3}}
}
"""
  found = hlo.collectives(text)
  assert [one.group for one in found] == [(0, 1), (1, 0), (2, 3)]
  assert hlo.busiest(found) == 64
  assert hlo.busiest(found[1:2]) == 32


def test_products_count_as_often_as_their_loop_turns():
  assert hlo.product_flops(PROGRAM) == 5 * 2 * 4 * 8 * 16


def test_a_loop_that_data_ends_turns_as_often_as_is_said():
  text = PROGRAM.replace("s32[] constant(5)", "s32[] get-tuple-element(%p.1), index=0")
  text = text.replace("%zero = s32[] constant(0)", "%zero = s32[] parameter(1)")
  assert hlo.product_flops(text, open_turns=2.5) == 2.5 * 2 * 4 * 8 * 16


@pytest.mark.parametrize(
  "text, devices",
  [
    ("replica_groups=[2,4]<=[8], x", (0, 1, 2, 3)),
    ("replica_groups=[2,4]<=[4,2]T(1,0), x", (0, 2, 4, 6)),
    ("replica_groups={{0,3},{1,2}}, x", (0, 3)),
    ("replica_groups=mesh['a'=2,'b'=2,'c'=2] {'a','c'}, x", (0, 4, 1, 5)),
    ("source_target_pairs={{0,4},{4,0}}", (0, 4)),
    ("replica_groups={}, x", ()),
  ],
)
def test_spellings_of_a_group(text, devices):
  assert sorted(hlo.group(text)) == sorted(devices)


def test_a_text_without_a_program_is_an_error():
  with pytest.raises(ValueError, match="no line begins with ENTRY"):
    hlo.Module("HloModule nothing")
