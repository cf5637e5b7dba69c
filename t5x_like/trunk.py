"""Trunk: what a run that branches off takes from another, and whether it may.

You are in: t5x_like, the edge. Upstream: `run.Branch`. Downstream: the loop (train.py),
which begins with this state where the run has no checkpoint of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from t5x_like.checkpoint import Checkpointer
from t5x_like.run import Branch
from t5x_like.rundir import RunError, differences

# In what a branch may differ from its trunk: the rates to come, and that it is one.
BRANCH, SCHEDULE = "branch", "learning_rate"
SHOWN = 10


def check(branch: Branch, identity: dict) -> None:
  """Raises RunError unless the trunk is this run up to the schedule."""
  path = Path(branch.path).expanduser() / "identity.json"
  if not path.is_file():
    raise RunError(f"run.Branch.path={branch.path!r} is no run directory: no {path}.")
  told = differences(json.loads(path.read_text(encoding="utf-8")), identity)
  names = [text.partition(":")[0].split(".") for text in told]
  wrong = [
    text
    for text, name in zip(told, names, strict=True)
    if name[0] != BRANCH and SCHEDULE not in name
  ]
  if wrong:
    raise RunError(
      f"{branch.path} is no trunk of this run: {'; '.join(wrong[:SHOWN])}. A branch "
      "differs from its trunk in the schedule alone."
    )


def restore(branch: Branch, abstract_state: Any) -> tuple[Any, dict, dict]:
  """(state, data, meta) of the trunk at the branch's step; changes nothing there.

  Raises ValueError where that step is not kept, CheckpointError where it is damaged.
  """
  checkpoints = Checkpointer(Path(branch.path).expanduser() / "checkpoints")
  if branch.step not in checkpoints.steps():
    raise ValueError(
      f"{branch.path} has no checkpoint of step {branch.step} (it has "
      f"{checkpoints.steps()}); set run.Checkpoint.keep_steps = ({branch.step},) in the "
      "run there."
    )
  return checkpoints.restore(abstract_state, branch.step)
