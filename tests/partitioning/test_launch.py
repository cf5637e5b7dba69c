"""Starting processes: what launchers say, and two real processes as one run."""

import json
import os
import socket
import subprocess
import sys

import jax
import pytest

from partitioning import launch

SLURM = {
  "SLURM_STEP_NODELIST": "node[1-2]",
  "SLURM_NTASKS": "4",
  "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
  "SLURM_NODEID": "1",
  "SLURM_LOCALID": "1",
}
OPEN_MPI = {
  "OMPI_COMM_WORLD_RANK": "3",
  "OMPI_COMM_WORLD_SIZE": "4",
  "OMPI_COMM_WORLD_LOCAL_RANK": "1",
  "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
  "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
}
JOINED = {"local_device_ids": None, "initialization_timeout": 360}


@pytest.fixture
def started(monkeypatch):
  """What `jax.distributed.initialize` is called with; the real one is not."""
  calls = []
  monkeypatch.setattr(
    jax.distributed, "initialize", lambda *a, **k: calls.append((a, k))
  )
  for name in os.environ:
    if name.startswith(("SLURM_", "OMPI_", "TPU_", "KUBERNETES_", "CUDA_VISIBLE")):
      monkeypatch.delenv(name)
  return calls


def under(monkeypatch, environment):
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  launch.initialize_distributed()


def test_a_single_process_starts_nothing(started):
  launch.initialize_distributed()
  assert started == []


@pytest.mark.parametrize(
  "environment",
  [SLURM, OPEN_MPI, {"TPU_WORKER_HOSTNAMES": "host-0,host-1"}],
  ids=["SLURM", "Open MPI", "TPU pod"],
)
def test_processes_of_a_launcher_join(started, monkeypatch, environment):
  under(monkeypatch, environment)
  assert started == [((None, None, None), JOINED)]


def test_the_address_auto_leaves_it_to_jax(started):
  launch.initialize_distributed(coordinator_address="auto")
  assert started == [((None, None, None), JOINED)]


@pytest.mark.parametrize(
  "environment",
  [
    {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"},
    SLURM | {"SLURM_NTASKS": "1"},
    {"TPU_WORKER_HOSTNAMES": "localhost"},
    {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
  ],
  ids=["shell inside an allocation", "one task", "one TPU host", "plain pod"],
)
def test_a_process_that_is_alone_stays_alone(started, monkeypatch, environment):
  under(monkeypatch, environment)
  assert started == []


def test_one_process_is_enough_if_the_flags_say_so(started, monkeypatch):
  for name, value in SLURM.items():
    monkeypatch.setenv(name, value)
  launch.initialize_distributed(process_count=1)
  assert started == []


def test_open_mpi_without_an_address_is_an_error_that_says_what_to_give(
  started, monkeypatch
):
  silent = {k: v for k, v in OPEN_MPI.items() if k != "OMPI_MCA_orte_hnp_uri"}
  with pytest.raises(ValueError, match="started 4 .*--coordinator_address=HOST:PORT"):
    under(monkeypatch, silent)


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (dict(coordinator_address="a:1"), "give all three"),
    (dict(process_count=2, process_index=1), "give all three"),
    (
      dict(coordinator_address="a", process_count=2, process_index=1),
      "must be HOST:PORT",
    ),
    (
      dict(coordinator_address="a:1", process_count=2, process_index=2),
      "less than the count",
    ),
  ],
)
def test_flags_that_cannot_be_are_errors(started, flags, message):
  with pytest.raises(ValueError, match=message):
    launch.initialize_distributed(**flags)
  assert started == []


@pytest.mark.parametrize(
  ("environment", "gpus", "expected"),
  [
    ({}, 8, None),
    (SLURM, 0, None),
    # Two processes on this host share its eight GPUs.
    (SLURM, 8, [4, 5, 6, 7]),
    (OPEN_MPI, 2, [1]),
    # Each process is shown its own GPU only.
    (SLURM, 1, [0]),
    # One process a host has them all.
    (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "1(x4)", "SLURM_LOCALID": "0"}, 2, [0, 1]),
    (
      SLURM | {"SLURM_STEP_TASKS_PER_NODE": "3,1", "SLURM_LOCALID": "0"},
      4,
      [0, 1, 2, 3],
    ),
  ],
)
def test_the_gpus_of_a_host_are_shared_by_its_processes(environment, gpus, expected):
  assert launch.local_devices(environment, gpus=gpus) == expected


PROGRAM = """
import json, sys
from partitioning import launch
launch.initialize_distributed(
  coordinator_address=sys.argv[1], process_count=2, process_index=int(sys.argv[2]))
import jax, jax.numpy as jnp, numpy as np
from partitioning import mesh, place
from partitioning.rules import PRESETS
over = mesh.Mesh(data=1, fsdp=2).build()
rows = place.batch_sharding(over, PRESETS["fsdp"])
mine = np.arange(4.0)[2 * jax.process_index() :][:2]
batch = jax.make_array_from_process_local_data(rows, mine)
total = jax.jit(lambda x: jnp.sum(x * x))(batch)
print(json.dumps([len(jax.devices()), len(jax.local_devices()), float(total)]))
"""


def test_two_processes_are_one_mesh(root):
  with socket.socket() as free:
    free.bind(("localhost", 0))
    address = f"localhost:{free.getsockname()[1]}"
  environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)}
  environment.pop("XLA_FLAGS", None)
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", PROGRAM, address, str(index)],
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for index in range(2)
  ]
  for process in processes:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error[-2000:]
    # Two devices, one of them here; 0 + 1 + 4 + 9.
    assert json.loads(out.splitlines()[-1]) == [2, 1, 14.0]
