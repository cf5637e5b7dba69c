"""Checkpoints: the state of a run on disk, written beside the training, never half.

You are in: t5x_like, the edge; the only module that knows Orbax. Upstream: `train.py`
(one `Checkpointer` for a run, in a `with`), `infer.py` and `evaluate.py` (restore only).
Below: `stepdirs.py` (names and moves), `manifest.py` (complete? undamaged?),
`retention.py` (what stays), `leaves.py` (paths, comparison).

One step is an Orbax Composite of nested dicts: `params`, `state` (everything else),
`data` and `meta` (JSON), and our `manifest.json`. Orbax writes arrays, shards and all;
when a step counts, which one is restored and which are deleted is decided here. Its
CheckpointManager is not used: it lists directories it cannot restore, skips saves below
the newest one without a word, and replaces other writers' steps.
"""

from __future__ import annotations

import concurrent.futures
import importlib.metadata
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from t5x_like import leaves, manifest
from t5x_like.retention import Retention
from t5x_like.stepdirs import CheckpointError, StepDirectories, reason

LOG = logging.getLogger(__name__)
Tree = Any
PARAMS = "params"  # the first key of a parameter's path, and the item they are saved as
ATTEMPTS = 3  # saves that fail one after another before the run is stopped
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
NO_STEP, NO_USABLE_STEP = -1, -2  # told to other processes in place of a step


class Checkpointer:
  """Saves and restores the steps of one run. Use it in a `with` to save.

  One process writes to a directory at a time; `rundir.RunDirectory` sees to that. A
  Checkpointer that only restores changes nothing on disk. With several processes, all
  call every method together, and all see the same directory.
  """

  def __init__(
    self,
    directory: str | Path,
    *,
    keep: int | None = 3,
    keep_every: int | None = None,
    keep_steps: tuple[int, ...] = (),
    best_metric: str | None = None,
    best_mode: str = "min",
    asynchronous: bool = True,
  ):
    """See `retention.Retention` for what is kept.

    Args:
      directory: of the run's checkpoints; made at the first save.
      asynchronous: False makes every `save` wait until the step is durable.
    """
    self._steps = StepDirectories(Path(directory).expanduser().absolute())
    self._retention = Retention(
      keep=keep,
      keep_every=keep_every,
      keep_steps=keep_steps,
      best_metric=best_metric,
      best_mode=best_mode,
    )
    self._asynchronous = asynchronous
    self._open = False
    self._head: int | None = None  # newest step of this run's history
    self._durable: int | None = None
    self._kept: dict[int, dict | None] | None = None  # metrics of steps, once claimed
    self._pending: tuple[int, concurrent.futures.Future] | None = None
    self._failed: CheckpointError | None = None
    self._failures = 0

  def __enter__(self) -> Checkpointer:
    logging.getLogger("absl").addFilter(_is_news)
    self._orbax = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler())
    self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
    self._open = True
    return self

  def __exit__(self, kind: type | None, error: object, trace: object) -> None:
    try:
      self.close()
    except CheckpointError as failure:
      if kind is None:
        raise
      if failure is not error:
        LOG.error("%s", failure)  # the error that ended the block goes on

  @property
  def durable(self) -> int | None:
    """The newest step that this process knows to be on disk, saved or restored."""
    if self._pending is not None:
      step, future = self._pending
      if future.done() and future.exception() is None:
        return step
    return self._durable

  def save(
    self,
    step: int,
    state: Tree,
    *,
    data: dict,
    meta: dict,
    metrics: dict[str, float] | None = None,
  ) -> bool:
    """Starts to save; returns when the arrays are copied and may be donated.

    A save that fails is reported by the next one, which still takes place, and by
    `wait` and `close`, which raise; after three in a row `save` raises too.

    Args:
      step: finished steps; above the last one saved or restored.
      state: arrays in any pytree.
      data: state of the data iterator, as JSON. meta: what belongs to the run, as JSON.
      metrics: of this step; the one named `best_metric` must be among them.

    Returns:
      True if a save was started, False if this very step is saved or restored already.

    Raises:
      ValueError: the step does not follow the restored history.
      CheckpointError: saves keep failing.
    """
    if not self._open:
      raise RuntimeError("Checkpointer.save: use it as `with Checkpointer(...) as c:`.")
    self._settle()
    if self._failures >= ATTEMPTS:
      raise self._failed
    if step == self._head:
      return False
    self._check_step(step, metrics)
    named = leaves.named(state)
    contents = {
      "step": step,
      "tree": leaves.describe(named),
      "metrics": None if metrics is None else {k: float(v) for k, v in metrics.items()},
      "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    items = _items(named, ocp.args.StandardSave) | {
      "data": ocp.args.JsonSave(json.loads(json.dumps(data))),
      "meta": ocp.args.JsonSave(json.loads(json.dumps(meta))),
    }
    self._start(step, items, contents)
    if not self._asynchronous:
      self.wait()
    return True

  def restore(
    self, abstract_state: Tree, step: int | None = None
  ) -> tuple[Tree, dict, dict]:
    """(state, data, meta) of a step, or of the newest undamaged one.

    Args:
      abstract_state: ShapeDtypeStructs with shardings (without: the first local
        device), over any number of devices; the arrays come back bit by bit.
      step: None falls back over damaged steps, with one warning for each.

    Raises:
      ValueError: no such step, or its leaves differ from `abstract_state`.
      CheckpointError: it is damaged, or all are.
    """
    self._settle()
    if step is None:
      step = self.latest()
    elif jax.process_index() == 0:  # reading every file once is enough
      self._steps.check(step)
    if step is None:
      raise ValueError(f"There is no checkpoint in {self._steps.root}.")
    directory = self._steps.path(step)
    wanted = leaves.named(abstract_state)
    _check_tree(directory, manifest.read(directory)["tree"], wanted, shown=5)
    items = _items(_placed(wanted), ocp.args.StandardRestore) | {
      "data": ocp.args.JsonRestore(),
      "meta": ocp.args.JsonRestore(),
    }
    found, read = _read(directory, items)
    self._head = self._durable = step
    self._kept = self._failed = None
    self._failures = 0
    return leaves.unnamed(found, abstract_state), read["data"], read["meta"]

  def latest(self) -> int | None:
    """The newest step that is complete and undamaged; None in a directory without any.

    Raises:
      CheckpointError: there are steps, but none can be used.
    """
    if jax.process_count() == 1:
      return self._steps.newest()
    found, failure = NO_STEP, None
    if jax.process_index() == 0:
      try:
        newest = self._steps.newest()
        found = NO_STEP if newest is None else newest
      except CheckpointError as error:
        found, failure = NO_USABLE_STEP, error
    found = int(multihost_utils.broadcast_one_to_all(np.int32(found)))
    if found == NO_USABLE_STEP:
      raise failure or CheckpointError(f"No usable checkpoint in {self._steps.root}.")
    return None if found == NO_STEP else found

  def steps(self) -> list[int]:
    """All steps on disk that were written to the end, ascending; not verified."""
    return self._steps.complete()

  def wait(self) -> None:
    """Returns when the last save is durable.

    Raises:
      CheckpointError: it is not, and why.
    """
    self._settle(warn=False)
    if self._open and jax.process_count() > 1:
      multihost_utils.sync_global_devices("t5x_like.checkpoint.wait")
    if self._failed:
      raise self._failed

  def close(self) -> None:
    """Waits for the last save and ends the threads. Raises as `wait` does."""
    if not self._open:
      return
    try:
      self.wait()
    finally:
      self._open = False
      self._thread.shutdown()
      self._orbax.close()
      logging.getLogger("absl").removeFilter(_is_news)

  def _start(self, step: int, items: dict, contents: dict) -> None:
    """Copies the arrays, then leaves the rest to threads."""
    try:
      if self._kept is None:
        self._kept = self._steps.claim(self._head) if jax.process_index() == 0 else {}
      path = self._steps.saving(step, self._failures)
      self._orbax.save(path, ocp.args.Composite(**items), force=True)
      future = self._thread.submit(self._commit, path, step, contents)
    except (OSError, ValueError, RuntimeError) as error:  # Orbax raises all of these
      future = concurrent.futures.Future()
      future.set_exception(error)
    self._pending = step, future
    self._head = step

  def _commit(self, path: Path, step: int, contents: dict) -> None:
    """In the thread: waits for Orbax, then makes the step count and deletes others."""
    self._orbax.wait_until_finished()
    if jax.process_index() != 0:
      return
    manifest.write(path, **contents)
    self._steps.publish(step, path)
    self._kept[step] = contents["metrics"]
    for other in set(self._kept) - self._retention.kept(self._kept):
      self._steps.delete(other)
      del self._kept[other]

  def _settle(self, *, warn: bool = True) -> None:
    """Waits for the pending save and notes how it ended."""
    if self._pending is None:
      return
    step, future = self._pending
    error = future.exception()
    self._pending = None
    if error is None:
      self._durable, self._failed, self._failures = step, None, 0
      return
    self._head = self._durable
    self._failures += 1
    self._failed = CheckpointError(self._failure(step, error))
    self._failed.__cause__ = error
    self._kept = None  # so that the next save sweeps away what was written of this one
    if warn:
      LOG.warning("%s", self._failed)

  def _failure(self, step: int, error: BaseException) -> str:
    root = self._steps.root
    usable = "none" if self._durable is None else f"step {self._durable}"
    where = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(where).free / 2**20
    return (
      f"Saving step {step} in {root} failed: {reason(error)}. "
      f"Newest usable checkpoint: {usable}. {free:,.0f} MiB are free there; if that is "
      "too little, make room or keep fewer checkpoints."
    )

  def _check_step(self, step: int, metrics: dict | None) -> None:
    if self._head is None and self._kept is None and self._steps.listed():
      raise ValueError(
        f"{self._steps.root} holds steps {self._steps.listed()} that were not restored. "
        "Restore one of them first, or use another directory."
      )
    if step < 0 or (self._head is not None and step < self._head):
      raise ValueError(
        f"Step {step} cannot be saved after step {self._head}: steps grow. To go back, "
        "restore an earlier step first."
      )
    name = self._retention.best_metric
    if metrics is not None and name is not None and name not in metrics:
      raise ValueError(
        f"best_metric={name!r} is not among the metrics of step {step}: "
        f"{sorted(metrics)}. Name one of these."
      )


def _is_news(record: logging.LogRecord) -> bool:
  """False for the tracebacks (200 lines each) of errors that Orbax raises as well."""
  return not (record.exc_info and "orbax" in Path(record.pathname).parts)


def restore_params(path: str | Path, abstract_params: Tree) -> Tree:
  """The parameters of another run, placed as `abstract_params` says.

  Args:
    path: a run directory, its `checkpoints`, or the directory of one step. The newest
      undamaged step is taken.
    abstract_params: nested dict of ShapeDtypeStructs, float32 or bfloat16 as wanted.

  Raises:
    ValueError: nothing is there, or leaves are missing, extra or misshapen; all listed.
    CheckpointError: all steps there are damaged.
  """
  directory = _step_directory(Path(path).expanduser().absolute())
  prefix = PARAMS + "/"
  tree = manifest.read(directory)["tree"]
  saved = {p.removeprefix(prefix): d for p, d in tree.items() if p.startswith(prefix)}
  wanted = leaves.named(abstract_params)
  _check_tree(directory, leaves.stored_as(saved, wanted), wanted, shown=20)
  placed = {prefix + p: leaf for p, leaf in _placed(wanted).items()}
  found, _ = _read(directory, _items(placed, ocp.args.StandardRestore))
  return leaves.unnamed({p: found[prefix + p] for p in wanted}, abstract_params)


def _step_directory(path: Path) -> Path:
  if path.name.isdecimal() and (path / manifest.FILE).is_file():
    StepDirectories(path.parent).check(int(path.name))
    return path
  searched = [path / "checkpoints", path]
  for root in searched:
    step = Checkpointer(root).latest()
    if step is not None:
      return root / str(step)
  places = ", ".join(str(root) for root in searched)
  raise ValueError(
    f"No checkpoint found for {path}; searched {places}. Give the directory of a run, "
    "its checkpoints, or one step."
  )


def _items(named: dict[str, Any], wrap: type) -> dict[str, Any]:
  """Leaves by path -> Orbax arguments of the items `params` and `state`."""
  nested = leaves.nest(named)
  params = nested.pop(PARAMS, None)
  items = {} if params is None else {PARAMS: wrap(params)}
  return items | ({"state": wrap(nested)} if nested else {})


def _read(directory: Path, items: dict[str, Any]) -> tuple[dict[str, Any], dict]:
  """(leaves by path, all items as read)."""
  with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
    read = dict(reader.restore(directory, ocp.args.Composite(**items)).items())
  arrays = {PARAMS: read[PARAMS]} if PARAMS in read else {}
  return leaves.named(arrays | read.get("state", {})), read


def _placed(wanted: dict[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
  default = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return {
    path: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None) or default
    )
    for path, leaf in wanted.items()
  }


def _check_tree(
  directory: Path, saved: leaves.Described, wanted: dict[str, Any], *, shown: int
) -> None:
  texts = leaves.differences(saved, leaves.describe(wanted))
  if texts:
    raise ValueError(
      f"Checkpoint {directory} does not fit the model: "
      f"{leaves.shortened(texts, limit=shown)}. Use the model and optimizer it was "
      "saved with, or another checkpoint."
    )
