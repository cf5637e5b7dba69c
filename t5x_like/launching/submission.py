"""Submission: a file that is written, handed to a scheduler's own program.

You are in: t5x_like/launching, the edge (starts `sbatch`, `kubectl`, `gcloud`).
Upstream: sbatch.py, pods.py, and the engines of studies.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


def submit(command: Sequence[str], *, what: object) -> str:
  """Runs command and returns what it printed.

  what: the file that it is given, for messages. Raises ValueError where the program is
  not installed, or refuses.
  """
  program = command[0]
  try:
    done = subprocess.run(list(command), capture_output=True, text=True)
  except FileNotFoundError:
    raise ValueError(
      f"there is no {program} on this machine; {what} is written: submit it where "
      "there is."
    ) from None
  if done.returncode:
    words = " ".join(done.stderr.split())
    raise ValueError(f"{program} refused {what} (status {done.returncode}): {words}")
  return done.stdout.strip()
