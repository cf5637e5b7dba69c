"""sbatch: the batch file of a run under Slurm, which saves and requeues itself.

You are in: t5x_like/launching, pure part (text out). Upstream: verb.py.

Slurm warns the batch shell alone, WARNED seconds before the time limit. The shell passes
that on as SIGUSR1, which srun forwards to every task (it answers SIGTERM by killing
them). Training saves, ends with 128 + 10, and the job goes back into the queue; after
`scancel` it does not.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from t5x_like.launching.command import CACHE, Command

WARNED = 300  # seconds: longer than a step and a checkpoint take

BODY = """\
cd {directory}
export JAX_COMPILATION_CACHE_DIR="${{JAX_COMPILATION_CACHE_DIR:-$PWD/{cache}}}"

# {warned} seconds before the time limit all processes are asked to save and end.
warned=
step=
pass_on() {{
  [ -z "$warned" ] || [ -z "$step" ] || kill -USR1 "$step"
}}
trap 'warned=1; pass_on' USR1
srun --label --kill-on-bad-exit=1 {command} &
step=$!
pass_on
wait "$step"
status=$?
# The trap ends `wait` before the step has ended.
while kill -0 "$step" 2> /dev/null; do
  wait "$step"
  status=$?
done
if [ "$warned" ] && [ "$status" -gt 128 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""


def script(
  command: Command,
  *,
  name: str,
  nodes: int,
  tasks: int,
  gpus: int,
  options: Sequence[str],
) -> str:
  """The batch file. tasks, gpus: of a node. options: of sbatch, last, so that they win."""
  ours = [
    f"--job-name={name}",
    f"--nodes={nodes}",
    f"--ntasks-per-node={tasks}",
    *([f"--gpus-per-node={gpus}"] if gpus else []),
    f"--output={name}-%j.log",
    "--open-mode=append",  # a job that was requeued keeps its number
    "--requeue",
    f"--signal=B:USR1@{WARNED}",
  ]
  head = ["#!/bin/bash", *(f"#SBATCH {shlex.quote(o)}" for o in (*ours, *options))]
  body = BODY.format(
    directory=shlex.quote(command.directory),
    cache=CACHE,
    warned=WARNED,
    command=command.shell(),
  )
  return "\n".join(head) + "\n\n" + body
