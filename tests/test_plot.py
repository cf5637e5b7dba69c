"""The loss curve of a run is drawn from its ledger alone."""

import math

from t5x_like import ledger, plot


def write(directory, *lines):
  with ledger.Ledger(directory, tensorboard=False) as written:
    for line in lines:
      written.write(line["step"], {k: v for k, v in line.items() if k != "step"})


def test_curves_are_train_and_held_out_without_what_is_not_finite(tmp_path):
  write(
    tmp_path,
    {"step": 1, "loss": 9.0, "accuracy": 0.1},
    {"step": 2, "loss": math.nan, "validation/loss": 8.0},
    {"step": 3, "loss": 7.0, "validation/z_loss": 0.2},
    {"step": 3, "validation/loss": 7.5},
  )
  assert plot.curves(ledger.read(tmp_path)) == {
    "train": [(1, 9.0), (3, 7.0)],
    "validation": [(2, 8.0), (3, 7.5)],
  }


def test_a_picture_of_some_size_is_drawn(tmp_path):
  write(tmp_path, {"step": 1, "loss": 9.0}, {"step": 2, "loss": 8.0})
  path = plot.plot_loss(tmp_path, vocabulary=32128)
  content = path.read_bytes()
  assert path.name == "loss.png" and content.startswith(b"\x89PNG")
  width = int.from_bytes(content[16:20], "big")  # PNG: IHDR begins at byte 16
  assert width == 840


def test_a_run_without_losses_has_no_picture(tmp_path):
  write(tmp_path, {"step": 1, "learning_rate": 0.1})
  assert plot.plot_loss(tmp_path) is None
  assert not (tmp_path / "loss.png").exists()
