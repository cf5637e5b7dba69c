"""Slices and rings: which devices are neighbours along each axis of the mesh.

Devices are stand-ins that have the attributes which decide.
"""

import dataclasses

import jax
import numpy as np
import pytest

from partitioning.mesh import Mesh


@dataclasses.dataclass(frozen=True)
class Device:
  id: int
  process_index: int
  slice_index: int


def devices(*, slices, processes, each, mixed=True):
  """`processes` a slice with `each` devices; in an order that says nothing of slices."""
  found = [
    Device(id=i, process_index=i // each, slice_index=i // (processes * each))
    for i in range(slices * processes * each)
  ]
  return found[::2] + found[1::2] if mixed else found


def test_only_the_outer_part_of_data_leaves_a_slice():
  mesh = Mesh(data=4, fsdp=2, tensor=2)
  grid = mesh.grid(devices(slices=2, processes=2, each=4), mesh.sizes())
  found = np.vectorize(lambda device: device.slice_index)(grid)
  # [data, pipeline, fsdp, context, tensor]: the first half of data is one slice, whole.
  assert grid.shape == (4, 1, 2, 1, 2)
  assert (found[:2] == 0).all() and (found[2:] == 1).all()
  assert len(set(grid.flat)) == 16


def test_devices_that_name_no_slices_are_grouped_by_process():
  mesh = Mesh(data=2, fsdp=4, slices=2)
  grid = mesh.grid(devices(slices=1, processes=4, each=2), mesh.sizes())
  found = np.vectorize(lambda device: device.process_index)(grid)
  assert set(found[0].flat) == {0, 1} and set(found[1].flat) == {2, 3}


def test_an_axis_that_needs_several_slices_takes_them_one_after_another():
  mesh = Mesh(data=1, fsdp=8)
  grid = mesh.grid(devices(slices=2, processes=2, each=2), mesh.sizes())
  assert [device.slice_index for device in grid.flat] == 4 * [0] + 4 * [1]


@pytest.mark.parametrize(
  ("mesh", "message"),
  [
    (Mesh(data=1, fsdp=8, slices=2), "data, 1 here, must be a multiple of 2 slices"),
    (Mesh(data=8, slices=4), "there are 2 slices and 4 processes"),
    (Mesh(data=3), "a multiple of 3 devices, .*: there are 8 .4 processes x 2."),
  ],
)
def test_what_does_not_fit_is_told_with_what_is_there(mesh, message):
  with pytest.raises(ValueError, match=message):
    mesh.build(devices(slices=2, processes=2, each=2))


def test_slices_must_be_equal_and_positive():
  uneven = devices(slices=2, processes=2, each=2, mixed=False)[1:-1] + [
    Device(8, 4, 1),
    Device(9, 4, 1),
  ]
  with pytest.raises(ValueError, match=r"and these equal; they have \[3, 5\] devices"):
    Mesh(data=8).build(uneven)
  with pytest.raises(ValueError, match="slices must be 1 or more"):
    Mesh(slices=0)


def test_a_cpu_is_told_how_to_be_several():
  with pytest.raises(ValueError, match="there are 1. .*--devices=4 simulates as many"):
    Mesh(data=-1, fsdp=4).build(jax.devices()[:1])
