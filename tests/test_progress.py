"""The progress line says step, loss, speed and time left; quietly off a terminal."""

import io

from t5x_like.progress import Progress

VALUES = {"loss": 2.5, "tokens_per_second": 32100.0, "steps_per_second": 10.0}


def test_off_a_terminal_each_logged_step_is_one_plain_line():
  stream = io.StringIO()
  with Progress(2400, stream=stream) as progress:
    for step in range(1, 1201):
      progress.advance(step)
    progress.update(1200, VALUES)
    progress.note(1200, {"validation/loss": 3.34})
  assert stream.getvalue().splitlines() == [
    "step 1200/2400  loss 2.5000  32,100 tokens/s  time left 0:02:00",
    "step 1200/2400  validation/loss 3.34",
  ]


def test_before_anything_was_timed_there_is_no_speed():
  stream = io.StringIO()
  with Progress(10, stream=stream) as progress:
    progress.update(1, {"loss": 9.0})
  assert stream.getvalue() == "step 1/10  loss 9.0000\n"


class Terminal(io.StringIO):
  def isatty(self) -> bool:
    return True


def test_on_a_terminal_one_line_moves_and_notes_stay(monkeypatch):
  monkeypatch.setenv("TERM", "xterm")
  stream = Terminal()
  with Progress(2400, stream=stream) as progress:
    progress.update(1200, VALUES)
    progress.note(1200, {"validation/loss": 3.34})
    progress.update(2400, VALUES | {"loss": 2.0})
  shown = stream.getvalue()
  assert "step 1200/2400" in shown and "time left 0:02:00" in shown
  assert "validation/loss 3.34\n" in shown
  assert "step 2400/2400" in shown and "loss 2.0000" in shown
