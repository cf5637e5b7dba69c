"""Command: what every process of a launched job runs, and what the job is called.

You are in: t5x_like/launching, pure part. Upstream: verb.py. Downstream: sbatch.py,
jobs.py, tpu_vm.py. No path of this machine goes into it but the folder it is run from.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

# Verbs that run as several processes -> whether these are parts of one run (else each
# works by itself: the workers of a study).
VERBS = {
  "train": True,
  "eval": True,
  "infer": True,
  "study run": False,
  "study worker": False,
}
# The last part of what follows says what the job is about.
TELLING = re.compile(r"--(?:gin\.MODEL_DIR|model_dir|study_dir)=(.*)", re.DOTALL)
CACHE = ".cache/jax"  # compiled programs, kept for the next start


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
  """words: a verb and its flags. directory: where it runs, on every machine."""

  words: tuple[str, ...]
  python: str
  directory: str

  def argv(self, *more: str) -> list[str]:
    """The program with its arguments, and `more` flags."""
    return [self.python, "-m", "t5x_like.main", *self.words, *more]

  def shell(self, *more: str) -> str:
    """The same as a line of a shell."""
    return shlex.join(self.argv(*more))

  def is_one_run(self) -> bool:
    """Whether all processes are parts of one run."""
    return VERBS[verb(self.words)]

  def name(self) -> str:
    """What the job is called: the last part of the directory that it writes to."""
    for word in self.words:
      if found := TELLING.fullmatch(word):
        last = re.sub(r"[^\w.-]+", "-", Path(found[1]).name).strip("-")
        if last:
          return last
    return verb(self.words).replace(" ", "-")


def verb(words: Sequence[str]) -> str:
  """The verb that words begin with. Raises ValueError for none that can be launched."""
  found = next((v for v in VERBS if v.split() == list(words[: len(v.split())])), None)
  if found is None:
    said = " ".join(words[:2]) or "nothing"
    raise ValueError(
      f"launch needs a command after --, one of: {', '.join(VERBS)}; not {said}."
    )
  return found


def python(executable: str, directory: str) -> str:
  """This Python, as other machines can name it: relative where it is in the directory."""
  path = Path(executable)
  if path.is_relative_to(directory):
    return os.path.relpath(path, directory)
  return "python"
