"""Slurm: a study's workers as one array job.

You are in: t5x_like/study, the edge (calls `sbatch`). Upstream: engines.py. Nothing but the study's directory, on a file system that all nodes see,
joins the tasks: any of them may be killed, requeued or submitted twice.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from t5x_like.launching import submission
from t5x_like.study import version
from t5x_like.study.store import Store, replace

SCRIPT = "slurm.sh"
WARNED = 300  # seconds before the time limit at which a worker begins to save


def script(
  store: Store, *, workers: int, options: Sequence[str], flags: Sequence[str]
) -> str:
  """The batch file. options: of sbatch, after ours, so that they win; flags: of `study
  worker`."""
  ours = (
    f"--job-name={store.plan['name']}",
    f"--array=0-{workers - 1}",
    f"--output={store.root}/slurm/%A_%a.log",
    "--requeue",
    f"--signal=B:TERM@{WARNED}",
  )
  paths = [str(version.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
  worker = [sys.executable, "-m", "t5x_like.main", "study", "worker"]
  worker += [f"--study_dir={store.root}", "--nowait", *flags]
  lines = [
    "#!/bin/bash",
    *(f"#SBATCH {shlex.quote(option)}" for option in (*ours, *options)),
    f"cd {shlex.quote(store.plan['cwd'])}",
    f"export PYTHONPATH={shlex.quote(os.pathsep.join(paths))}",
    # Replaces the shell, which alone gets the signal above.
    f"exec {shlex.join(worker)}",
  ]
  return "\n".join(lines) + "\n"


def submit(
  store: Store, *, workers: int, options: Sequence[str] = (), flags: Sequence[str] = ()
) -> str:
  """Writes slurm.sh into the study's directory, submits it, and returns the job's id.

  Raises ValueError where there is no sbatch, or it refuses.
  """
  path = store.root / SCRIPT
  (store.root / "slurm").mkdir(exist_ok=True)
  replace(path, script(store, workers=workers, options=options, flags=flags))
  printed = submission.submit(["sbatch", "--parsable", str(path)], what=path)
  return printed.partition(";")[0]
