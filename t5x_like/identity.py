"""Identity: what makes two runs the same run, as nested dictionaries.

You are in: t5x_like, pure part. Upstream: a Run. Downstream: rundir.py compares it with
the one stored in the run directory and shows the difference. In it: what decides the
parameters after step k. Not in it: where files lie, how long the run lasts, what is
reported or saved when, and how and where it is computed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os

# Fields of Run that do not change what step k computes, rounding aside. (Microbatches
# change which dropout masks are drawn, not their distribution; a run must be able to go
# on where there is less memory.)
OUTSIDE = frozenset(
  "model_dir steps execution mesh rules microbatches evaluation checkpoint log data_dir "
  "data_workers compilation_cache swaps parametrisation noise_scale pause".split()
)
# Fields, anywhere, that say where something lies: its last part alone is kept, so that
# moving a folder is no change and taking another file is one. The patterns of other parts
# (Freeze, InitRule) are of parameters.
PATHS = frozenset({"path", "restore_from"})
OF_FILES = "pattern"
DATA = "t5x_like.data"
# Fields that came later. Unset, they are left out: runs begun before go on, and cells of
# studies keep their addresses.
LATER = frozenset({"loss_scale", "rounding", "branch"})
ELSEWHERE = frozenset({"data_dir"})


def identity(run: object) -> dict[str, object]:
  """Nested dictionaries of JSON values that define a run."""
  return {
    field.name: _plain(getattr(run, field.name), field.name)
    for field in dataclasses.fields(run)
    if field.name not in OUTSIDE
    and not (field.name in LATER and getattr(run, field.name) is None)
  }


def started(run: object) -> str:
  """Eight digits of what the processes of one run must all have been started with: its
  identity, its length, and where it is computed."""
  names = ("steps", "mesh", "rules", "microbatches", "execution", "checkpoint")
  more = {name: _plain(getattr(run, name), name) for name in names}
  text = json.dumps(identity(run) | more, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:8]


def _plain(value: object, name: str) -> object:
  if name in PATHS and isinstance(value, str):
    return os.path.basename(value.rstrip("/"))
  if dataclasses.is_dataclass(value):
    data = type(value).__module__.startswith(DATA)
    named = lambda name: "path" if data and name == OF_FILES else name
    fields = {
      field.name: _plain(getattr(value, field.name), named(field.name))
      for field in dataclasses.fields(value)
      if field.name not in ELSEWHERE
    }
    return {"is": type(value).__name__} | fields
  if isinstance(value, dict):
    return {str(key): _plain(item, str(key)) for key, item in value.items()}
  if isinstance(value, (list, tuple)):
    return _folded(value, name)
  if isinstance(value, (str, int, float, bool, type(None))):
    return value
  # optax and user functions: the name is what can be compared between processes.
  return getattr(value, "__qualname__", type(value).__name__)


def _folded(items: list | tuple, name: str) -> list:
  """A list; equal neighbouring specs are told once, with how often they occur."""
  if not any(dataclasses.is_dataclass(item) for item in items):
    return [_plain(item, name) for item in items]
  return [
    {"times": len(list(group)), "part": _plain(item, name)}
    for item, group in itertools.groupby(items)
  ]
