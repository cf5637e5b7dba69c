"""Checkpoints keep every bit, never restore damage, and never lose a step silently."""

import functools
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from t5x_like import checkpoint, manifest
from t5x_like.checkpoint import Checkpointer, CheckpointError, restore_params
from t5x_like.state import TrainState

TRANSFORM = optax.adamw(1e-3)
META = {"identity": {"seed": 0}}


def state_at(step: int, *, dim: int = 8) -> TrainState:
  """A state whose every number depends on the step."""
  kernel = jnp.arange(dim * 4, dtype=jnp.float32).reshape(dim, 4) + 0.1 * step
  params = {"encoder": {"mlp": {"kernel": kernel}}, "scale": jnp.ones(3) * step}
  opt_state = TRANSFORM.init(params)
  opt_state = jax.tree.map(lambda x: x + jnp.asarray(step, x.dtype), opt_state)
  return TrainState(jnp.int32(step), params, opt_state, {"ema": params})


def abstract(state: object) -> object:
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)


def save(directory: Path, *steps: int, **options) -> None:
  """Saves steps in order; each is durable when this returns."""
  with Checkpointer(directory, **options) as checkpointer:
    if checkpointer.steps():
      checkpointer.restore(abstract(state_at(0)))
    for step in steps:
      assert checkpointer.save(step, state_at(step), data={"next": step}, meta=META)


def restored(directory: Path, step: int | None = None) -> int:
  """The step restored; fails unless every bit of it is as it was saved."""
  state, data, meta = Checkpointer(directory).restore(abstract(state_at(0)), step)
  found = int(state.step)
  same(state, state_at(found))
  assert (data, meta) == ({"next": found}, META)
  return found


def same(one: object, other: object) -> None:
  assert jax.tree.structure(one) == jax.tree.structure(other)
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    assert a.dtype == b.dtype and a.shape == b.shape
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def array_files(step_directory: Path) -> list[Path]:
  """Files of array data of a step, the largest first."""
  files = step_directory.glob("*/ocdbt.process_0/d/*")
  return sorted(files, key=lambda path: path.stat().st_size, reverse=True)


def test_a_saved_state_comes_back_bit_by_bit(tmp_path):
  save(tmp_path, 7)
  assert restored(tmp_path) == 7


def test_special_values_and_narrow_dtypes_come_back_bit_by_bit(tmp_path):
  state = {
    "nan": jnp.array([jnp.nan, -0.0, jnp.inf, 1e-45]),
    "bfloat16": jnp.array([1.5, -3.0], jnp.bfloat16),
    "flag": jnp.array([True, False]),
    "count": jnp.uint32(2**32 - 1),
  }
  with Checkpointer(tmp_path, asynchronous=False) as checkpointer:
    checkpointer.save(0, state, data={}, meta={})
    same(checkpointer.restore(abstract(state))[0], state)


def test_buffers_donated_during_the_save_do_not_reach_the_disk(tmp_path):
  @functools.partial(jax.jit, donate_argnums=0)
  def overwrite(state):
    return jax.tree.map(lambda x: x * 0 - 1, state)

  # 16 MiB, so that the save is under way while the buffers are overwritten.
  state = {"params": {"w": jnp.arange(4 * 2**20, dtype=jnp.float32)}}
  expected = np.asarray(state["params"]["w"]).copy()
  with Checkpointer(tmp_path) as checkpointer:
    checkpointer.save(1, state, data={}, meta={})
    for _ in range(5):
      state = overwrite(state)
    jax.block_until_ready(state)
  read = Checkpointer(tmp_path).restore(abstract(state))[0]
  assert np.array_equal(read["params"]["w"], expected)


def remove_a_file(step_directory: Path) -> None:
  array_files(step_directory)[0].unlink()


def truncate_a_file(step_directory: Path) -> None:
  path = array_files(step_directory)[0]
  os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(step_directory: Path) -> None:
  path = array_files(step_directory)[0]
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def empty_the_directory(step_directory: Path) -> None:
  for path in sorted(step_directory.rglob("*"), reverse=True):
    path.rmdir() if path.is_dir() else path.unlink()


def garble_the_manifest(step_directory: Path) -> None:
  (step_directory / manifest.FILE).write_text('{"step": 2')


def change_the_manifest(step_directory: Path) -> None:
  path = step_directory / manifest.FILE
  path.write_text(path.read_text().replace('"float32"', '"float16"', 1))


DAMAGES = (
  remove_a_file,
  truncate_a_file,
  flip_a_bit,
  empty_the_directory,
  garble_the_manifest,
  change_the_manifest,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_a_damaged_step_is_passed_over_with_one_warning(tmp_path, caplog, damage):
  save(tmp_path, 1, 2)
  damage(tmp_path / "2")
  assert restored(tmp_path) == 1
  warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
  assert len(warnings) == 1 and "checkpoint 2" in warnings[0], warnings


def test_stray_directories_and_files_do_not_count_as_steps(tmp_path):
  save(tmp_path, 1)
  for name in ("9", "99999999999999999999", "tmp.orbax-checkpoint-tmp", "007"):
    (tmp_path / name).mkdir()
  (tmp_path / "8").write_text("a file")
  (tmp_path / "7").symlink_to(tmp_path / "1")
  assert restored(tmp_path) == 1


def test_reading_changes_nothing_on_disk(tmp_path):
  save(tmp_path, 1, 2)
  flip_a_bit(tmp_path / "2")
  (tmp_path / "saving-3.orbax-checkpoint-tmp").mkdir()
  before = sorted(tmp_path.rglob("*"))
  assert restored(tmp_path) == 1
  assert sorted(tmp_path.rglob("*")) == before


def test_saves_after_a_fallback_take_place_and_the_bad_step_is_set_aside(tmp_path):
  save(tmp_path, 1, 2, 3)
  flip_a_bit(tmp_path / "2")
  flip_a_bit(tmp_path / "3")
  save(tmp_path, 2)
  assert restored(tmp_path) == 2
  assert sorted(p.name for p in (tmp_path / "corrupt").iterdir()) == ["2", "3"]


def test_going_back_by_number_sets_later_steps_aside(tmp_path):
  save(tmp_path, 1, 2, 3)
  with Checkpointer(tmp_path) as checkpointer:
    checkpointer.restore(abstract(state_at(0)), 1)
    checkpointer.save(2, state_at(2), data={"next": 2}, meta=META)
  assert restored(tmp_path) == 2
  assert sorted(p.name for p in (tmp_path / "abandoned").iterdir()) == ["2", "3"]


def test_a_run_whose_steps_are_all_damaged_does_not_start_anew(tmp_path):
  save(tmp_path, 1)
  flip_a_bit(tmp_path / "1")
  with pytest.raises(CheckpointError, match="1: .* has changed content"):
    Checkpointer(tmp_path).latest()


def test_saving_into_steps_that_were_not_restored_is_refused(tmp_path):
  save(tmp_path, 5)
  with Checkpointer(tmp_path) as checkpointer:
    with pytest.raises(ValueError, match="not restored"):
      checkpointer.save(1, state_at(1), data={}, meta={})
  assert restored(tmp_path) == 5


def test_a_step_is_saved_once_and_steps_grow(tmp_path):
  with Checkpointer(tmp_path) as checkpointer:
    assert checkpointer.save(5, state_at(5), data={}, meta={})
    assert not checkpointer.save(5, state_at(5), data={}, meta={})
    with pytest.raises(ValueError, match="Step 4 cannot be saved after step 5"):
      checkpointer.save(4, state_at(4), data={}, meta={})


def test_saving_outside_with_is_refused(tmp_path):
  with pytest.raises(RuntimeError, match="with Checkpointer"):
    Checkpointer(tmp_path).save(1, state_at(1), data={}, meta={})


def test_the_newest_and_the_periodic_and_the_best_steps_stay(tmp_path):
  losses = {1: 4.0, 2: 1.0, 3: 3.0, 4: float("nan"), 5: 2.0, 6: 2.5, 7: 2.2}
  options = dict(keep=2, keep_every=3, keep_steps=(1, 9), best_metric="loss")
  with Checkpointer(tmp_path, **options) as checkpointer:
    for step in (1, 2, 3, 4):
      metrics = {"loss": losses[step]}
      checkpointer.save(step, state_at(step), data={}, meta={}, metrics=metrics)
  with Checkpointer(tmp_path, **options) as checkpointer:  # metrics outlive a process
    checkpointer.restore(abstract(state_at(0)))
    for step in (5, 6, 7):
      metrics = {"loss": losses[step]}
      checkpointer.save(step, state_at(step), data={}, meta={}, metrics=metrics)
  assert Checkpointer(tmp_path).steps() == [1, 2, 3, 6, 7]


def test_a_metric_that_is_not_there_is_named(tmp_path):
  with Checkpointer(tmp_path, best_metric="accuracy") as checkpointer:
    with pytest.raises(ValueError, match=r"'accuracy'.*\['loss'\]"):
      checkpointer.save(1, state_at(1), data={}, meta={}, metrics={"loss": 1.0})


def test_a_tree_that_does_not_fit_is_one_line_that_names_the_leaves(tmp_path):
  save(tmp_path, 1)
  state = state_at(0)
  params = {
    "encoder": {"mlp": {"kernel": jnp.zeros((8, 5))}},  # misshapen
    "scale": jnp.ones(3, jnp.bfloat16),  # another dtype
    "bias": jnp.ones(2),  # missing in the checkpoint
  }  # and `extra` is extra in it
  wanted = TrainState(state.step, params, state.opt_state, {})
  with pytest.raises(ValueError) as caught:
    Checkpointer(tmp_path).restore(abstract(wanted))
  message = str(caught.value)
  assert "\n" not in message
  for text in (
    "params/encoder/mlp/kernel: saved (8, 4) float32, wanted (8, 5) float32",
    "params/scale: saved (3,) float32, wanted (3,) bfloat16",
    "params/bias: missing in the checkpoint, wanted (2,) float32",
    "extra/ema/scale: extra in the checkpoint, not wanted",
  ):
    assert text in message


def test_no_checkpoint_is_none_to_latest_and_an_error_to_restore(tmp_path):
  assert Checkpointer(tmp_path / "none").latest() is None
  with pytest.raises(ValueError, match="There is no checkpoint"):
    Checkpointer(tmp_path / "none").restore(abstract(state_at(0)))
  assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("place", [".", "checkpoints", "checkpoints/2"])
def test_parameters_of_another_run_are_found_by_run_folder_or_step(tmp_path, place):
  save(tmp_path / "checkpoints", 1, 2)
  params = restore_params(tmp_path / place, abstract(state_at(0).params))
  same(params, state_at(2).params)


def test_parameters_that_do_not_fit_are_all_listed_by_path(tmp_path):
  save(tmp_path, 1)
  wanted = abstract(
    {"encoder": {"mlp": {"kernel": jnp.zeros((9, 4))}}, "head": jnp.zeros(4)}
  )
  with pytest.raises(ValueError) as caught:
    restore_params(tmp_path, wanted)
  for text in (
    "encoder/mlp/kernel: saved (8, 4) float32, wanted (9, 4) float32",
    "head: missing",
    "scale: extra",
  ):
    assert text in str(caught.value)


def test_a_place_without_checkpoints_is_named_with_what_was_searched(tmp_path):
  with pytest.raises(ValueError, match=f"searched {tmp_path}/checkpoints"):
    restore_params(tmp_path, abstract(state_at(0).params))


@pytest.fixture
def small_disk():
  """No file of this process may exceed 16 KiB: writing more fails as on a full disk."""
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, limits[1]))
  resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  signal.signal(signal.SIGXFSZ, old)


def noise(step: int) -> TrainState:
  """A state too large for the small disk, however it is compressed."""
  state = state_at(step)
  params = {"w": jax.random.normal(jax.random.key(step), (64, 1024))}
  return TrainState(state.step, params, (), {})


def test_a_full_disk_leaves_the_older_step_and_says_which(tmp_path, small_disk):
  with pytest.raises(
    CheckpointError, match="Saving step 3 .*: File too large. .* step 1"
  ):
    with Checkpointer(tmp_path) as checkpointer:
      checkpointer.save(1, noise(1), data={}, meta={})
      checkpointer.wait()
      small_disk()
      checkpointer.save(2, noise(2), data={}, meta={})
      checkpointer.save(3, noise(3), data={}, meta={})  # tried although 2 failed
  checkpointer = Checkpointer(tmp_path)
  assert checkpointer.steps() == [1]
  same(checkpointer.restore(abstract(noise(0)))[0], noise(1))


def test_three_failed_saves_in_a_row_stop_the_run(tmp_path, monkeypatch):
  def full(*args, **kwargs):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(manifest, "write", full)
  with pytest.raises(CheckpointError, match="Saving step 3 .*No space left"):
    with Checkpointer(tmp_path) as checkpointer:
      for step in (1, 2, 3, 4):
        checkpointer.save(step, state_at(step), data={}, meta={})
        assert step < 4


def test_a_save_that_failed_can_be_tried_again(tmp_path, monkeypatch):
  write = manifest.write
  with Checkpointer(tmp_path) as checkpointer:
    monkeypatch.setattr(manifest, "write", lambda *a, **k: 1 / 0)
    checkpointer.save(3, state_at(3), data={"next": 3}, meta=META)
    with pytest.raises(CheckpointError, match="Saving step 3"):
      checkpointer.wait()
    monkeypatch.setattr(manifest, "write", write)
    assert checkpointer.save(3, state_at(3), data={"next": 3}, meta=META)
  assert restored(tmp_path) == 3


def test_an_error_in_the_block_is_not_hidden_by_closing(tmp_path):
  with pytest.raises(ZeroDivisionError):
    with Checkpointer(tmp_path) as checkpointer:
      checkpointer.save(1, state_at(1), data={"next": 1}, meta=META)
      raise ZeroDivisionError
  assert restored(tmp_path) == 1


# ---- in processes of their own; each start costs seconds, so each does several things

PRELUDE = """
import sys, jax, jax.numpy as jnp, numpy as np
from t5x_like.checkpoint import Checkpointer
def state_at(step):
  return {"params": {"w": jnp.arange(2**18, dtype=jnp.float32) + step}, "step": jnp.int32(step)}
"""


def start(code: str, *args: str, **environment: str) -> subprocess.Popen:
  return subprocess.Popen(
    [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *args],
    stdout=subprocess.PIPE,
    text=True,
    cwd=Path(__file__).parents[1],
    env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
  )


def numbered(directory: Path) -> int:
  """The step that the newest checkpoint of a child process holds, after checking it."""
  like = {"params": {"w": jnp.zeros(2**18)}, "step": jnp.int32(0)}
  state, data, _ = Checkpointer(directory).restore(abstract(like))
  step = int(state["step"])
  expected = np.arange(2**18, dtype=np.float32) + np.float32(step)
  assert np.array_equal(state["params"]["w"], expected) and data == {"next": step}
  return step


def test_a_killed_process_has_every_step_it_promised(tmp_path):
  code = """
  with Checkpointer(sys.argv[1], keep=2) as checkpointer:
    for step in range(1, 100_000):
      checkpointer.save(step, state_at(step), data={"next": step}, meta={})
      print(checkpointer.durable, flush=True)
  """
  child = start(code, str(tmp_path))
  promised = [child.stdout.readline() for _ in range(12)]
  time.sleep(0.037)  # somewhere in a save
  child.send_signal(signal.SIGKILL)
  promised += child.stdout.read().splitlines()
  child.wait()
  promised = [int(line) for line in promised if line.strip().isdecimal()]
  newest = numbered(tmp_path)
  assert newest >= promised[-1] >= 10
  # The next process goes on from there, and sweeps away what was half done.
  like = {"params": {"w": jnp.zeros(2**18)}, "step": jnp.int32(0)}
  with Checkpointer(tmp_path, keep=2) as checkpointer:
    state = checkpointer.restore(abstract(like))[0]
    assert checkpointer.save(newest + 1, state, data={"next": 0}, meta={})
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {str(newest), str(newest + 1)}


def test_any_end_of_the_block_makes_the_last_save_durable(tmp_path):
  code = """
  with Checkpointer(sys.argv[1]) as checkpointer:
    checkpointer.save(4, state_at(4), data={"next": 4}, meta={})
    sys.exit(3)
  """
  child = start(code, str(tmp_path))
  child.communicate()
  assert child.returncode == 3 and numbered(tmp_path) == 4


def test_a_state_moves_between_one_eight_and_two_devices(tmp_path):
  code = """
  from jax.sharding import NamedSharding, PartitionSpec as P
  def sharded(devices):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("data",))
    place = {"params": {"w": P("data")}, "step": P()}
    return jax.tree.map(
      lambda x, p: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, p)),
      state_at(0), place)
  with Checkpointer(sys.argv[1]) as checkpointer:
    checkpointer.save(1, state_at(1), data={"next": 1}, meta={})
    for step, devices in ((2, 8), (3, 2)):
      state = checkpointer.restore(sharded(devices))[0]
      assert len(state["params"]["w"].sharding.device_set) == devices
      assert len(state["step"].sharding.device_set) == devices
      assert np.array_equal(state["params"]["w"], state_at(step - 1)["params"]["w"])
      state = jax.tree.map(lambda x: x + jnp.asarray(1, x.dtype), state)
      checkpointer.save(step, state, data={"next": step}, meta={})
  """
  flags = "--xla_force_host_platform_device_count=8"
  child = start(code, str(tmp_path), XLA_FLAGS=flags)
  child.communicate()
  assert child.returncode == 0 and numbered(tmp_path) == 3


def test_the_manifest_lists_versions_and_the_tree(tmp_path):
  save(tmp_path, 1)
  content = json.loads((tmp_path / "1" / manifest.FILE).read_text())
  assert content["tree"]["params/encoder/mlp/kernel"] == [[8, 4], "float32"]
  assert set(content["versions"]) == set(checkpoint.PACKAGES)
