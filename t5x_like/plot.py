"""Plot: the loss curves of a run, drawn from its ledger, and coordinate checks.

You are in: t5x_like, the edge. `plot_loss` reads `metrics.jsonl` only, so any run can be
drawn, at any time, from anywhere.
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


def plot_coordinates(path: str | Path, found: dict, *, what: str) -> None:
  """Draws how much each step changed activations, by size, as .png or .svg.

  Args:
    path: file to write; its ending says which kind.
    found: {parametrisation: {size: coordinates.Coordinates}}, a row of panels each.
    what: "width" or "depth".
  """
  from matplotlib import colormaps
  from matplotlib.figure import Figure

  kinds = list(next(iter(next(iter(found.values())).values())).change)
  figure = Figure(
    figsize=(1.2 + 2.1 * len(kinds), 0.6 + 2.3 * len(found)), layout="constrained"
  )
  panels = figure.subplots(
    len(found), len(kinds), squeeze=False, sharex=True, sharey="col"
  )
  for row, (name, by_size) in zip(panels, found.items(), strict=True):
    sizes = list(by_size)
    for panel, kind in zip(row, kinds, strict=True):
      changes = [by_size[size].change[kind] for size in sizes]
      steps = len(changes[0]) - 1
      for step in range(1, steps + 1):
        colour = colormaps["viridis"](0.85 * (1 - step / steps))
        values = [change[step] for change in changes]
        panel.plot(sizes, values, "o-", color=colour, markersize=3, label=str(step))
      panel.set(xscale="log", yscale="log", title=f"{kind}, {name}")
      panel.title.set_fontsize(9)
      panel.set_xticks(sizes, map(str, sizes))
      panel.minorticks_off()
      panel.grid(alpha=0.3)
  panels[0][0].legend(title="steps", fontsize=7, title_fontsize=7)
  figure.supxlabel(what)
  figure.supylabel("mean |change of an activation|")
  figure.savefig(path, dpi=120)
