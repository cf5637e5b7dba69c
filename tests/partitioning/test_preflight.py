"""Processes that do not answer: an error that names them, in time. (That processes which
do answer go on is part of tests/test_processes.py.)"""

import collections
import os
import socket
import subprocess
import sys

import jax
import pytest

from partitioning import preflight

PROGRAM = """
import sys, time
from partitioning import launch, mesh, preflight
address, index, after = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
launch.initialize_distributed(
  coordinator_address=address, process_count=2, process_index=index, seconds=after)
print("joined", flush=True)
if index == 1:
  time.sleep(60)
preflight.check(mesh.Mesh(), seconds=2)
"""


@pytest.fixture
def start(root):
  """Starts PROGRAM as a process of two; those that are left are killed."""
  with socket.socket() as free:
    free.bind(("localhost", 0))
    address = f"localhost:{free.getsockname()[1]}"
  environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)}
  started = []

  def call(index, *, seconds):
    command = [sys.executable, "-c", PROGRAM, address, str(index), str(seconds)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    started.append(subprocess.Popen(command, env=environment, **pipes))
    return started[-1]

  yield call
  for process in started:
    process.kill()
    process.wait()


def test_a_process_that_joined_but_does_not_answer_is_named(start):
  both = [start(index, seconds=60) for index in range(2)]
  printed, _ = both[0].communicate(timeout=60)
  assert both[0].returncode == preflight.UNANSWERED
  assert "error: after 2 s there is no answer from process 1 of 2" in printed


def test_a_process_that_finds_nobody_says_where_it_looked(start):
  printed, _ = start(1, seconds=1).communicate(timeout=60)
  assert "after 1 s process 1 gets no answer from process 0 at localhost:" in printed
  assert "joined" not in printed


def test_processes_that_were_started_differently_are_named():
  said = {number: {"code": "1f0c", "configuration": "aa"} for number in range(4)}
  preflight.same(said)
  said[2] = {"code": "1f0c", "configuration": "bb"}
  with pytest.raises(
    ValueError, match="same configuration; found aa in processes 0, 1, 3"
  ):
    preflight.same(said)
  said[2] = {}  # an older version of this program, which says nothing
  with pytest.raises(ValueError, match="same code; .* None in process 2"):
    preflight.same(said)


Device = collections.namedtuple("Device", "process_index")


def test_processes_with_unequal_numbers_of_devices_are_named(monkeypatch):
  devices = [Device(index) for index in (0, 0, 1, 2, 2)]
  monkeypatch.setattr(jax, "devices", lambda: devices)
  with pytest.raises(ValueError, match="found 1 in process 1; 2 in processes 0, 2"):
    preflight._devices_each()
