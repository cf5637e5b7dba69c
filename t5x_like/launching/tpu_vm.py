"""TPU VMs: one command line that starts a process on every worker of a TPU.

You are in: t5x_like/launching, pure part. Upstream: verb.py.
"""

from __future__ import annotations

import shlex

from t5x_like.launching.command import CACHE, Command


def argv(command: Command, *, tpu: str, zone: str | None) -> list[str]:
  """The `gcloud` call; `shlex.join` makes it a line. tpu: the name of the TPU.

  A run is told to ask the machine's metadata for its other processes.
  """
  more = ("--coordinator_address=auto",) if command.is_one_run() else ()
  remote = (
    f"cd {shlex.quote(command.directory)} && "
    f'export JAX_COMPILATION_CACHE_DIR="$PWD/{CACHE}" && '
    f"exec {command.shell(*more)}"
  )
  return [
    *("gcloud", "compute", "tpus", "tpu-vm", "ssh", tpu),
    *([f"--zone={zone}"] if zone else []),
    "--worker=all",
    f"--command={remote}",
  ]
