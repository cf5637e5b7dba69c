"""Preflight: whether all processes of a run answer, before anything costly begins.

You are in: partitioning, the edge (asks JAX for devices, prints, may end the process).
Upstream: launch.py, while processes join; main.py, once the mesh is known. A process that
waits for another cannot be interrupted from Python, so time limits end it.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import distributed  # the coordination service has no public name

from partitioning.mesh import Mesh

UNANSWERED = 75  # EX_TEMPFAIL: schedulers and studies may try again
SECONDS = 300.0
KEY = "t5x_like/preflight/"


@contextlib.contextmanager
def time_limit(seconds: float, explain: Callable[[], str]) -> Iterator[None]:
  """Ends the process with status UNANSWERED when the block takes longer.

  explain: what the user is told, called then.
  """
  done = threading.Event()

  def watch() -> None:
    if not done.wait(seconds):
      print(f"error: {explain()}", file=sys.stderr, flush=True)
      os._exit(UNANSWERED)

  threading.Thread(target=watch, daemon=True).start()
  try:
    yield
  finally:
    done.set()


def not_joined(seconds: float) -> str:
  """What is known while processes still join: the one that the others meet at."""
  state = distributed.global_state
  address, said = state.coordinator_address, f"after {seconds:g} s"
  if address is None:
    return f"{said} JAX does not know yet which processes there are."
  if state.process_id == 0:
    return (
      f"{said} not all {state.num_processes} processes have joined process 0 at "
      f"{address}. Look at the output of the others."
    )
  host, _, port = address.rpartition(":")
  try:
    socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
  except OSError as error:
    return (
      f"{said} process {state.process_id} gets no answer from process 0 at {address} "
      f"({error}). Is it running, and is that its address?"
    )
  return (
    f"{said} process {state.process_id} and process 0, at {address}, are there, but not "
    f"all of the {state.num_processes}. Look at the output of the others."
  )


def check(
  mesh: Mesh, *, alike: dict[str, str] | None = None, seconds: float = SECONDS
) -> None:
  """Adds up one number of every device, and says how long that took.

  alike: what all processes must have the same of, as digests, such as {"code": "1f0c"}.
  Does nothing in a single process. Raises ValueError when processes differ in that, have
  different numbers of devices, or the mesh needs others than there are.
  """
  state = distributed.global_state
  if state.client is None:
    return
  with time_limit(seconds, lambda: _silent(state, seconds)):
    state.client.key_value_set(f"{KEY}{state.process_id}", json.dumps(alike or {}))
    state.client.wait_at_barrier(f"{KEY}all", int(1000 * seconds) + 60_000)
    same({number: json.loads(said) for number, said in _said(state)})
    count = _devices_each()
    mesh.build()
    milliseconds = _all_reduce()
  if state.process_id == 0:
    print(
      f"{state.num_processes} processes x {count} {jax.default_backend().upper()} "
      f"devices; preflight all-reduce {milliseconds:.0f} ms",
      file=sys.stderr,
      flush=True,
    )


def same(said: dict[int, dict[str, str]]) -> None:
  """Raises ValueError where processes differ; said: {process: check's `alike`}."""
  for name in said[0]:
    found = collections.defaultdict(list)
    for number in sorted(said):
      found[said[number].get(name)].append(number)
    if len(found) > 1:
      text = "; ".join(
        f"{digest} in {_named(those)}" for digest, those in found.items()
      )
      raise ValueError(
        f"Processes of one run must have the same {name}; found {text}. Compare the "
        "commands and the folders they were started with."
      )


def _said(state: distributed.State) -> Iterator[tuple[int, str]]:
  """(process, what it put into the store), of those that have."""
  for key, value in state.client.key_value_dir_get(KEY):
    yield int(key.rpartition("/")[2]), value


def _devices_each() -> int:
  """Devices of every process, which must be as many in each."""
  counts = collections.Counter(device.process_index for device in jax.devices())
  found = {n: sorted(i for i in counts if counts[i] == n) for n in counts.values()}
  if len(found) > 1:
    text = "; ".join(f"{n} in {_named(those)}" for n, those in sorted(found.items()))
    raise ValueError(
      f"Processes must have equally many devices; found {text}. Start one process a "
      "device everywhere, or one a host on equal hosts."
    )
  return next(iter(found))


def _all_reduce() -> float:
  """Milliseconds of a sum over all devices, without its compilation."""
  devices = np.array(jax.devices())
  mesh = jax.sharding.Mesh(devices, ("all",))
  rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("all"))
  ones = jax.make_array_from_callback(
    devices.shape, rows, lambda index: np.ones(1, np.float32)
  )
  total = jax.jit(jnp.sum)
  total(ones).block_until_ready()
  begun = time.perf_counter()
  found = float(total(ones))
  if found != devices.size:
    raise ValueError(
      f"A sum of ones over {devices.size} devices is {found:g}: one of them computes, or "
      "the network between them carries, wrong numbers."
    )
  return 1000 * (time.perf_counter() - begun)


def _silent(state: distributed.State, seconds: float) -> str:
  """Which processes have not come as far as this one."""
  said = f"after {seconds:g} s"
  try:
    come = {number for number, _ in _said(state)}
  except Exception as error:  # whatever it is, it must not keep the process alive
    return f"{said} process 0 does not answer any more ({error})."
  if missing := sorted(set(range(state.num_processes)) - come):
    return (
      f"{said} there is no answer from {_named(missing)} of {state.num_processes}, "
      "which had joined. Look at what was printed there."
    )
  return (
    f"{said} all {state.num_processes} processes are here, but a sum over their devices "
    "has not ended: the network between devices does not carry it. (For GPUs, "
    "NCCL_DEBUG=INFO tells more, and NCCL_SOCKET_IFNAME chooses the network.)"
  )


def _named(processes: list[int]) -> str:
  """process 3; processes 0, 1, 2, ..."""
  if len(processes) == 1:
    return f"process {processes[0]}"
  more = ", ..." if len(processes) > 8 else ""
  return "processes " + ", ".join(map(str, processes[:8])) + more
