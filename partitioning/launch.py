"""Launch: several processes, one run, through JAX's multi-controller runtime.

You are in: partitioning, the edge (reads the environment that a launcher made). Start
one process a host or one a GPU, as the scheduler does it; each calls
`initialize_distributed` before anything asks JAX for devices.
"""

from __future__ import annotations

import glob
import importlib.util
import math
import os
from collections.abc import Mapping

import jax

from partitioning import preflight

# Launcher -> what only its processes have, and where it says how many there are. A shell
# inside an allocation of SLURM has the second without the first.
SLURM = ("SLURM_STEP_NODELIST", "SLURM_NTASKS")
AUTO = "auto"
OPEN_MPI = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")


def initialize_distributed(
  *,
  coordinator_address: str | None = None,
  process_count: int | None = None,
  process_index: int | None = None,
  seconds: float = preflight.SECONDS,
) -> None:
  """Joins the processes of a multi-host run; does nothing in a single process.

  With an address, all three are needed. Without, the launcher's environment decides:
  SLURM or Open MPI with more than one task, an Indexed Job of Kubernetes (where the
  package `kubernetes` is installed), or a TPU pod. The address "auto" says that a
  launcher that JAX knows has started several, also where the environment does not show
  it, as on TPU VMs. process_count=1 alone keeps a process to itself. Raises ValueError
  for values that cannot be. Ends the process when the others have not come after
  `seconds`.
  """
  if process_count == 1:
    return
  given = (coordinator_address, process_count, process_index)
  if given == (AUTO, None, None):
    given = (None, None, None)
  elif any(value is not None for value in given):
    _check(*given)
  elif not _launched(os.environ):
    return
  gpus = _visible_gpus(os.environ)
  with preflight.time_limit(seconds, lambda: preflight.not_joined(seconds)):
    jax.distributed.initialize(
      *given,
      local_device_ids=local_devices(os.environ, gpus=gpus),
      # At its own limit JAX aborts with a stack trace; ours comes first.
      initialization_timeout=math.ceil(seconds) + 60,
    )


def _check(address: str | None, count: int | None, index: int | None) -> None:
  said = (
    f"--coordinator_address={address} --process_count={count} --process_index={index}"
  )
  if None in (address, count, index):
    raise ValueError(f"{said}: give all three, or none of them.")
  if not address.rpartition(":")[2].isdigit() or ":" not in address:
    raise ValueError(f"{said}: the address must be HOST:PORT of process 0.")
  if not 0 <= index < count:
    raise ValueError(f"{said}: the index must be at least 0 and less than the count.")


def _launched(environment: Mapping[str, str]) -> bool:
  """Whether a launcher that JAX can ask started this process among others."""
  if _tasks(environment, SLURM) > 1:
    return True
  if (count := _tasks(environment, OPEN_MPI)) > 1:
    # JAX finds the coordinator in this variable, which Open MPI 5 no longer sets.
    if "OMPI_MCA_orte_hnp_uri" not in environment:
      raise ValueError(
        f"Open MPI started {count} processes but does not say where the first one is. "
        f"Give --coordinator_address=HOST:PORT --process_count={count} "
        "--process_index=$OMPI_COMM_WORLD_RANK."
      )
    return True
  if {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= set(environment):
    return importlib.util.find_spec("kubernetes") is not None
  return len(environment.get("TPU_WORKER_HOSTNAMES", "").split(",")) > 1


def _tasks(environment: Mapping[str, str], launcher: tuple[str, str]) -> int:
  present, count = launcher
  return int(environment.get(count, "1")) if present in environment else 1


def local_devices(environment: Mapping[str, str], *, gpus: int) -> list[int] | None:
  """Numbers of this process's GPUs of the `gpus` it sees; None: JAX may decide.

  JAX gives each process of SLURM or Open MPI one GPU, by its number on the host. That
  is wrong for one process a host, and where the launcher already shows each process
  its own. So: visible GPUs are shared equally by the processes of a host, and all
  belong to a process that sees fewer than there are processes.
  """
  if "SLURM_LOCALID" in environment:
    local, tasks = int(environment["SLURM_LOCALID"]), _slurm_tasks_here(environment)
  elif "OMPI_COMM_WORLD_LOCAL_RANK" in environment:
    local = int(environment["OMPI_COMM_WORLD_LOCAL_RANK"])
    tasks = int(environment["OMPI_COMM_WORLD_LOCAL_SIZE"])
  else:
    return None
  if not gpus:
    return None
  if gpus < tasks:
    return list(range(gpus))
  share = gpus // tasks
  return list(range(local * share, (local + 1) * share))


def _visible_gpus(environment: Mapping[str, str]) -> int:
  """How many NVIDIA GPUs this process sees; asking JAX would start it too early."""
  if (listed := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
    return len([name for name in listed.split(",") if name.strip() not in ("", "-1")])
  return len(glob.glob("/dev/nvidia[0-9]*"))


def _slurm_tasks_here(environment: Mapping[str, str]) -> int:
  """Tasks of this step on this node, from a list such as "2(x3),1"."""
  counts: list[int] = []
  for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):
    tasks, _, repeat = part.rstrip(")").partition("(x")
    counts += [int(tasks)] * int(repeat or 1)
  return counts[int(environment.get("SLURM_NODEID", "0"))]
