"""Seconds by hand: rings, domains, what hides and what does not."""

import pytest

from t5x_like.planner.chips import CHIPS, chip
from t5x_like.planner.predict import Prediction, predict, ring, speed, transfer
from t5x_like.planner.program import Program, mesh_axes

H100 = CHIPS["h100"]


def test_rings_of_a_mesh():
  """Two copies of two by one by four devices; the last axis lies closest."""
  mesh = (2, 1, 2, 1, 4)
  assert sorted(ring(("tensor",), mesh)) == [0, 1, 2, 3]
  assert sorted(ring(("fsdp",), mesh)) == [0, 4]
  assert sorted(ring(("data", "tensor"), mesh)) == [0, 1, 2, 3, 8, 9, 10, 11]
  assert mesh_axes((0, 4), mesh) == ("fsdp",)
  assert mesh_axes((0, 1, 8, 9), mesh) == ("data", "tensor")
  assert mesh_axes((), mesh) == ("data", "fsdp", "tensor")


def test_a_ring_inside_a_domain_runs_at_its_links_speed():
  assert speed(("tensor",), H100, mesh=(1, 1, 4, 1, 8)) == 450e9
  # One device of each domain takes part: the network of one.
  assert speed(("fsdp",), H100, mesh=(1, 1, 4, 1, 8)) == 50e9
  # Two of each: twice that.
  assert speed(("fsdp",), H100, mesh=(1, 1, 16, 1, 4)) == 100e9
  # All eight: 400e9, below the link.
  assert speed(("fsdp",), H100, mesh=(1, 1, 32, 1, 1)) == 400e9


def test_a_sum_moves_twice_what_a_gather_does():
  once = transfer("all-gather", ("tensor",), 450e9, H100, mesh=(1, 1, 1, 1, 8))
  assert once == pytest.approx(7 / 8)
  twice = transfer("all-reduce", ("tensor",), 450e9, H100, mesh=(1, 1, 1, 1, 8))
  assert twice == pytest.approx(2 * 7 / 8)
  assert transfer("all-reduce", ("data",), 1e9, H100, mesh=(1, 1, 1, 1, 8)) == 0.0


def test_what_lies_between_products_adds_and_the_rest_hides():
  program = Program(
    flops=989e12,
    moved={
      ("all-gather", ("fsdp",)): 450e9,
      ("all-reduce", ("tensor",)): 450e9,
    },
    state=0,
    gradients=0,
    temporary=3350e9,
  )
  found = predict(program, H100, mesh=(1, 1, 2, 1, 4), dtype="bfloat16", efficiency=0.5)
  assert found.compute == pytest.approx(2.0)
  assert found.memory == pytest.approx(2.0)
  assert found.hidden == pytest.approx(1 / 2)
  assert found.exposed == pytest.approx(2 * 3 / 4)
  assert found.seconds == pytest.approx(3.5)
  assert found.bound == "compute"


def test_the_longest_is_the_bound():
  assert Prediction(compute=1, memory=2, hidden=0, exposed=0).bound == "memory"
  assert Prediction(compute=1, memory=2, hidden=3, exposed=0).bound == "network"
  assert Prediction(compute=1, memory=0, hidden=0, exposed=2).bound == "network"


def test_float32_is_slower_on_a_gpu():
  assert H100.peak("float32") == H100.peak("bfloat16") / 2


def test_an_unknown_chip_is_named_with_the_nearest():
  with pytest.raises(ValueError, match=r"--chip=h10 is unknown.*h100"):
    chip("h10")
