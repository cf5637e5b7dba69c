"""A request to stop reaches the loop at a step boundary; a second one ends at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from t5x_like import signals
from t5x_like.signals import Stop


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_a_signal_is_seen_at_the_next_poll_only(tmp_path, number):
  with Stop(tmp_path) as stop:
    assert not stop.poll()
    os.kill(os.getpid(), number)
    assert not stop.requested  # the step under way still runs as if nothing happened
    assert stop.poll() and stop.requested
    assert stop.reason == number.name and stop.status == 128 + number


def test_a_stop_file_asks_once(tmp_path, monkeypatch):
  monkeypatch.setattr(signals, "FILE_SECONDS", 0.0)
  with Stop(tmp_path) as stop:
    assert not stop.poll()
    (tmp_path / "STOP").touch()
    assert stop.poll()
    assert str(tmp_path / "STOP") in stop.reason and stop.status == 143
  with Stop(tmp_path) as stop:
    assert not stop.poll()


def test_one_request_delivered_twice_is_one_request(tmp_path):
  with Stop(tmp_path) as stop:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.poll()


def test_the_handlers_of_before_return(tmp_path):
  before = [signal.getsignal(number) for number in signals.SIGNALS]
  with Stop(tmp_path):
    pass
  assert [signal.getsignal(number) for number in signals.SIGNALS] == before


def test_a_second_signal_ends_the_process_at_once():
  code = """
import sys, time
from t5x_like import signals
signals.REPEAT_SECONDS = 0.1
with signals.Stop("/nowhere"):
  print("ready", flush=True)
  time.sleep(30)
  sys.exit(0)
"""
  child = subprocess.Popen(
    [sys.executable, "-c", code],
    stdout=subprocess.PIPE,
    cwd=Path(__file__).parents[1],
  )
  child.stdout.readline()
  child.send_signal(signal.SIGTERM)
  time.sleep(0.3)
  assert child.poll() is None
  child.send_signal(signal.SIGTERM)
  assert child.wait(timeout=20) == -signal.SIGTERM
  child.stdout.close()
