"""Plot: the loss curves of a run, drawn from its ledger.

You are in: t5x_like, the edge. Reads `metrics.jsonl` only, so any run can be drawn, at
any time, from anywhere.
"""

from __future__ import annotations

import math
from pathlib import Path

from t5x_like import ledger

FILE = "loss.png"
TRAIN = "loss"  # the key of the training loss; any key ending in "/loss" is held out


def curves(lines: list[ledger.Values]) -> dict[str, list[tuple[int, float]]]:
  """{"train": [(step, loss), ...], "validation": ...}; values that are not finite go."""
  found: dict[str, list[tuple[int, float]]] = {}
  for line in lines:
    for key, value in line.items():
      is_loss = key == TRAIN or key.endswith("/" + TRAIN)
      if is_loss and isinstance(value, int | float) and math.isfinite(value):
        name = "train" if key == TRAIN else key.removesuffix("/" + TRAIN)
        found.setdefault(name, []).append((line["step"], value))
  return found


def plot_loss(directory: str | Path, *, vocabulary: int | None = None) -> Path | None:
  """Draws `loss.png` into a run directory; None when no loss was logged.

  Args:
    directory: of the run.
    vocabulary: size, for a line at its logarithm: the loss of knowing nothing.
  """
  # Here, for it costs half a second that the start of a run should not pay.
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  directory = Path(directory)
  found = curves(ledger.read(directory))
  if not found:
    return None
  figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
  axes = figure.add_subplot()
  for name, points in found.items():
    steps, losses = zip(*points, strict=True)
    style = (
      {"linewidth": 1.2} if name == "train" else {"marker": "o", "markersize": 3.5}
    )
    axes.plot(steps, losses, label=f"{name}: last {losses[-1]:.3f}", **style)
  if vocabulary:
    chance = math.log(vocabulary)
    label = f"ln({vocabulary}) = {chance:.2f}"
    axes.axhline(chance, color="gray", linestyle="--", linewidth=1, label=label)
  axes.set(
    xlabel="step",
    ylabel="loss (nats per target token)",
    title=directory.absolute().name,
  )
  axes.grid(alpha=0.3)
  axes.legend()
  FigureCanvasAgg(figure).print_png(directory / FILE)
  return directory / FILE
