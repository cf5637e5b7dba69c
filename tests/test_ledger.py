"""Every written line survives, and a resumed run writes each step once."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from t5x_like import ledger
from t5x_like.ledger import Ledger


def write(directory: Path, *steps: int, **options) -> None:
  with Ledger(directory, **({"tensorboard": False} | options)) as lines:
    for step in steps:
      lines.write(step, {"loss": 1.0 / step})


def steps(directory: Path) -> list[int]:
  return [line["step"] for line in ledger.read(directory)]


def test_values_of_all_kinds_are_read_as_they_were_written(tmp_path):
  values = {"loss": jnp.float32(0.5), "tokens_seen": np.int64(7), "note": "abc"}
  odd = {"a": float("nan"), "b": math.inf, "c": -math.inf, "d": None}
  with Ledger(tmp_path, tensorboard=False) as lines:
    lines.write(3, values | odd)
    assert lines.last["loss"] == 0.5
  (line,) = ledger.read(tmp_path)
  assert line["step"] == 3 and line["time"] > 1.6e9
  assert (line["loss"], line["tokens_seen"], line["note"]) == (0.5, 7, "abc")
  assert math.isnan(line["a"]) and (line["b"], line["c"]) == (math.inf, -math.inf)
  assert line["d"] is None


def test_the_file_is_strict_json(tmp_path):
  with Ledger(tmp_path, tensorboard=False) as lines:
    lines.write(1, {"loss": float("nan")})

  def refuse(constant):
    raise AssertionError(constant)

  json.loads((tmp_path / ledger.FILE).read_text(), parse_constant=refuse)


def test_a_resumed_run_drops_the_lines_it_will_write_again(tmp_path):
  write(tmp_path, 10, 20, 30)
  write(tmp_path, 25, 30, resume_step=20)
  assert steps(tmp_path) == [10, 20, 25, 30]


def test_a_run_that_starts_anew_drops_all_lines(tmp_path):
  write(tmp_path, 10, 20)
  write(tmp_path, 10, resume_step=0)
  assert steps(tmp_path) == [10]


@pytest.mark.parametrize(
  "end", ['{"step": 30, "lo', '{"step": 30, "loss": 1', "\0\0\n"]
)
def test_a_torn_last_line_is_dropped(tmp_path, end):
  write(tmp_path, 10, 20)
  with open(tmp_path / ledger.FILE, "a") as file:
    file.write(end)
  write(tmp_path, 30)
  assert steps(tmp_path) == [10, 20, 30]


def test_a_torn_last_line_can_be_read_past(tmp_path):
  write(tmp_path, 10)
  with open(tmp_path / ledger.FILE, "a") as file:
    file.write('{"step": 20')
  assert steps(tmp_path) == [10]


def test_a_spoilt_line_in_the_middle_is_named(tmp_path):
  write(tmp_path, 10)
  with open(tmp_path / ledger.FILE, "a") as file:
    file.write("spoilt\n{}\n")
  with pytest.raises(ValueError, match="metrics.jsonl, line 2"):
    ledger.read(tmp_path)


def test_lines_survive_a_kill(tmp_path):
  code = """
import sys
from t5x_like.ledger import Ledger
with Ledger(sys.argv[1], tensorboard=False) as lines:
  for step in range(1, 10**9):
    lines.write(step, {"loss": 1.0 / step})
    print(step, flush=True)
"""
  child = subprocess.Popen(
    [sys.executable, "-c", code, str(tmp_path)],
    stdout=subprocess.PIPE,
    cwd=Path(__file__).parents[1],
  )
  printed = [child.stdout.readline() for _ in range(200)]
  child.send_signal(signal.SIGKILL)
  printed += child.stdout.read().splitlines()
  child.wait()
  found = steps(tmp_path)
  assert found == list(range(1, len(found) + 1))
  assert len(found) >= int(printed[-2])  # the last may have been torn


def test_tensorboard_shows_a_resumed_step_once(tmp_path):
  # TensorBoard's own reader, which checks lengths and checksums of every record.
  accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator"
  )
  write(tmp_path, 10, 200, 30_000, tensorboard=True)
  write(tmp_path, 20_000, 40_000, resume_step=200, tensorboard=True)
  events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
  events.Reload()
  found = [(event.step, event.value) for event in events.Scalars("loss")]
  assert [step for step, _ in found] == [10, 200, 20_000, 40_000]
  for step, value in found:
    assert value == np.float32(1 / step)
