"""Figures of a study: loss by compute with laws, differences, learning curves.

You are in: t5x_like/study, the edge. Upstream: summary.py. Downstream: report.py writes
them as SVG, whose text takes the colour of the page around it, and as PNG.
"""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from matplotlib.figure import Figure

INK = "#123456"  # stands for the colour of text until the SVG is written
# Okabe and Ito's colours, which the colour-blind can tell apart, darkest first.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c")
ACROSS = 6  # panels of a forest side by side
CURVES = 24  # panels of learning curves at most
MARKERS = "osD^vP*X"


def draw(found: dict) -> dict[str, Figure]:
  """{name: figure} of a summary; what there is nothing to draw of is left out."""
  figures = {
    "loss_by_compute": _loss_by_compute(found),
    "differences": _differences(found),
    "learning_curves": _learning_curves(found),
    "sizes_at_equal_flops": draw_sizes(found),
    "loss_by_setting": draw_setting(found),
    "searches": draw_searches(found),
  }
  figures = {name: figure for name, figure in figures.items() if figure is not None}
  for figure in figures.values():
    figure.get_layout_engine().execute(figure)  # once, as it takes longest
    figure.set_layout_engine("none")
  return figures


def svg(figure: Figure) -> str:
  """An <svg> element without fixed size or colour of text; the same for the same input."""
  import matplotlib
  from matplotlib.backends.backend_svg import FigureCanvasSVG

  written = io.StringIO()
  with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "study"}):
    FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None})
  text = written.getvalue()
  text = text[text.index("<svg") :].replace(INK, "currentColor")
  return re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*pt"', r"\1", text, count=2)


def png(figure: Figure) -> bytes:
  """On white, 130 dots an inch."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg

  written = io.BytesIO()
  figure.patch.set_facecolor("white")
  FigureCanvasAgg(figure).print_figure(written, dpi=130, format="png")
  figure.patch.set_facecolor("none")
  return written.getvalue()


def _figure(rows: int, columns: int, size: tuple[float, float], **how: object):
  """(figure, axes [rows, columns]) without a background, drawn in INK."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=size, layout="constrained", facecolor="none")
  axes = figure.subplots(rows, columns, squeeze=False, **how)
  for panel in axes.flat:
    panel.set_facecolor("none")
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.tick_params(colors=INK, which="both", labelsize=8)
    for side in panel.spines.values():
      side.set_color(INK)
      side.set_linewidth(0.6)
    panel.spines[["top", "right"]].set_visible(False)
  return figure, axes


def _label(panel: object, x: str, y: str, title: str = "") -> None:
  panel.set_xlabel(x, color=INK, fontsize=9)
  panel.set_ylabel(y, color=INK, fontsize=9)
  if title:
    panel.set_title(title, color=INK, fontsize=9)


def _legend(panel: object, **how: object) -> None:
  panel.legend(fontsize=8, labelcolor=INK, framealpha=0, **how)


def _style(found: dict) -> dict[str, tuple[str, str]]:
  """{arm: (colour, marker)}."""
  names = [arm["name"] for arm in found["arms"]]
  return {
    name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
    for i, name in enumerate(names)
  }


def _loss_by_compute(found: dict) -> Figure | None:
  """Mean and standard error of every arm and point; laws as lines, held out hollow."""
  figure, [[panel]] = _figure(1, 1, (7.2, 4.6))
  laws = {law["arm"]: law for law in found["laws"]}
  for arm, (colour, marker) in _style(found).items():
    for held_out in (False, True):
      x, mean, error = _points(found["rows"], arm, held_out)
      panel.errorbar(
        x,
        mean,
        yerr=error,
        linestyle="",
        color=colour,
        marker=marker,
        markersize=5,
        capsize=2.5,
        linewidth=1,
        markerfacecolor="none" if held_out else colour,
        label=None if held_out else arm,
      )
    if curve := laws[arm].get("curve"):
      panel.plot(curve["flops"], curve["loss"], color=colour, linewidth=1.1)
      panel.fill_between(
        curve["flops"], curve["low"], curve["high"], color=colour, alpha=0.13, lw=0
      )
  panel.set_xscale("log")
  _label(panel, "training FLOPs", found["metric"])
  _legend(panel)
  return figure


def _points(rows: list[dict], arm: str, held_out: bool) -> tuple:
  """(FLOPs, means, standard errors) by point; a lone seed has no error."""
  groups: dict[str, list[dict]] = {}
  for row in rows:
    if (row["arm"], row["held_out"]) == (arm, held_out) and row["value"] is not None:
      groups.setdefault(row["point"], []).append(row)
  x = [group[0]["flops"] for group in groups.values()]
  values = [np.array([row["value"] for row in group]) for group in groups.values()]
  error = [v.std(ddof=1) / math.sqrt(len(v)) if len(v) > 1 else 0.0 for v in values]
  return x, [v.mean() for v in values], error


def _differences(found: dict) -> Figure | None:
  """A forest: every arm's paired difference with its interval, one panel a table."""
  tables = [t for t in found["tables"] if any("low" in row for row in t["rows"])]
  if not tables:
    return None
  arms = [a["name"] for a in found["arms"] if a["name"] != found["baseline"]]
  columns = min(ACROSS, len(tables))
  lines = math.ceil(len(tables) / columns)
  size = (2.2 + 1.9 * columns, (1.1 + 0.32 * len(arms)) * lines)
  figure, axes = _figure(lines, columns, size, sharey=True)
  style = _style(found)
  for panel in axes.flat[len(tables) :]:
    panel.set_visible(False)
  for panel, table in zip(axes.flat, tables, strict=False):
    panel.axvline(0, color=INK, linewidth=0.8)
    for row in table["rows"]:
      if "low" in row:
        colour, marker = style[row["arm"]]
        sides = [[row["difference"] - row["low"]], [row["high"] - row["difference"]]]
        panel.errorbar(
          [row["difference"]],
          [arms.index(row["arm"])],
          xerr=sides,
          color=colour,
          marker=marker,
          markersize=5,
          capsize=3,
        )
    pairs = f"{table['pairs']} pairs"
    _label(panel, "", "", f"{table['title']}\n{pairs}" if table["title"] else pairs)
    panel.set_yticks(range(len(arms)), arms, color=INK)
  axes[0][0].invert_yaxis()  # sharey: all of them
  figure.supxlabel(f"{found['metric']} minus {found['baseline']}'s", **_small())
  return figure


def draw_sizes(found: dict) -> Figure | None:
  """Loss by parameters, one panel an arm, one colour a budget, with parabolas."""
  from t5x_like.study.arm_grids import budgets

  arms = [grid["arm"] for grid in found["grids"] if "vertices" in grid]
  if not arms:
    return None
  figure, axes = _figure(1, len(arms), (1.4 + 2.9 * len(arms), 3.4), sharey=True)
  for panel, arm in zip(axes[0], arms, strict=True):
    rows = [
      row
      for row in found["rows"]
      if row["arm"] == arm and row["value"] is not None and not row["held_out"]
    ]
    every = budgets(rows)
    for index, budget in enumerate(np.unique(every)):
      own = [row for row, spent in zip(rows, every, strict=True) if spent == budget]
      _parabola(panel, own, COLOURS[index % len(COLOURS)], f"{budget:.2g} FLOPs")
    panel.set_xscale("log")
    panel.margins(y=0.15)
    _label(panel, "", "", arm)
  _legend(axes[0][0])
  figure.supxlabel("parameters", **_small())
  figure.supylabel(found["metric"], **_small())
  return figure


def _parabola(panel: object, rows: list[dict], colour: str, label: str) -> None:
  size = np.log([row["params"] for row in rows])
  loss = np.array([row["value"] for row in rows])
  panel.plot(np.exp(size), loss, "o", color=colour, markersize=4, label=label)
  if len(np.unique(size)) < 3:
    return
  curve = np.polynomial.Polynomial.fit(size, loss, 2)
  line = np.linspace(size.min(), size.max(), 80)
  panel.plot(np.exp(line), curve(line), color=colour, linewidth=1)
  [vertex] = curve.deriv().roots().real
  if size.min() < vertex < size.max():
    panel.plot(np.exp(vertex), curve(vertex), "x", color=INK, markersize=6)


def draw_setting(found: dict) -> Figure | None:
  """Loss by a number that changes no cost, such as a learning rate: one panel an arm, one
  line for whatever else the points differ in, the lowest value of each ringed."""
  rows = [row for row in found["rows"] if row["value"] is not None]
  name = setting(rows)
  if name is None:
    return None
  arms = [arm["name"] for arm in found["arms"]]
  figure, axes = _figure(1, len(arms), (1.4 + 2.9 * len(arms), 3.4), sharey=True)
  for panel, arm in zip(axes[0], arms, strict=True):
    lines: dict[str, dict[float, list[float]]] = {}
    for row in rows:
      if row["arm"] == arm:
        labels = _labels(row)
        at = float(labels.pop(name))
        line = " ".join(f"{k}={v}" for k, v in labels.items())
        lines.setdefault(line, {}).setdefault(at, []).append(row["value"])
    for index, (line, values) in enumerate(lines.items()):
      x = sorted(values)
      y = [float(np.mean(values[at])) for at in x]
      colour = COLOURS[index % len(COLOURS)]
      panel.plot(x, y, "o-", color=colour, markersize=4, linewidth=1.1, label=line)
      best = int(np.argmin(y))
      ring = {"markersize": 10, "markerfacecolor": "none", "color": colour}
      panel.plot(x[best], y[best], "o", **ring)
    least = min(map(min, lines.values()), default=1.0)
    panel.set_xscale("log" if least > 0 else "linear")
    _label(panel, "", "", arm)
  _legend(axes[0][0])
  figure.supxlabel(name, **_small())
  figure.supylabel(found["metric"], **_small())
  return figure


def draw_searches(found: dict) -> Figure | None:
  """Losses of trials by each number that was searched, a colour an arm; hollow where a
  trial was dropped, ringed what was found."""
  names = list(dict.fromkeys(n for s in found["searches"] for n in _numbers(s)))
  if not names:
    return None
  figure, axes = _figure(1, len(names), (1.4 + 3.4 * len(names), 3.4), sharey=True)
  for panel, name in zip(axes[0], names, strict=True):
    for search in found["searches"]:
      colour, marker = _style(found)[search["arm"]]
      for trial in search["trials"]:
        if name not in trial["values"] or not trial["curve"]:
          continue
        at = (trial["values"][name], trial["curve"][-1][1])
        face = colour if trial["state"] == "done" else "none"
        panel.plot(*at, marker, color=colour, markersize=5, markerfacecolor=face)
        if search["best"]["trial_number"] == trial["number"]:
          panel.plot(*at, "o", color=colour, markersize=11, markerfacecolor="none")
    low, high = panel.dataLim.intervalx
    panel.set_xscale("log" if low > 0 and high / low > 8 else "linear")
    _label(panel, name, found["metric"] if panel is axes[0][0] else "")
  for arm, (colour, marker) in _style(found).items():
    axes[0][0].plot([], [], marker, color=colour, markersize=5, label=arm)
  _legend(axes[0][0])
  return figure


def _numbers(search: dict) -> list[str]:
  """Names searched whose values are numbers."""
  values = search["best"]["values"]
  return [name for name, value in values.items() if isinstance(value, int | float)]


def setting(rows: list[dict]) -> str | None:
  """The name with most values, three or more, all of them numbers at the same FLOPs."""
  values: dict[str, set[str]] = {}
  costs: dict[tuple, set[float]] = {}
  for row in rows:
    labels = _labels(row)
    for name, value in labels.items():
      rest = tuple((k, v) for k, v in labels.items() if k != name)
      costs.setdefault((name, row["arm"], rest), set()).add(row["flops"])
      values.setdefault(name, set()).add(value)
  fit = {
    name: len(found)
    for name, found in values.items()
    if len(found) > 2
    and all(_is_number(value) for value in found)
    and all(len(c) == 1 for key, c in costs.items() if key[0] == name)
  }
  return max(fit, key=fit.get, default=None)


def _labels(row: dict) -> dict[str, str]:
  return dict(part.split("=", 1) for part in row["point"].split(" ") if "=" in part)


def _is_number(text: str) -> bool:
  try:
    return math.isfinite(float(text))
  except ValueError:
    return False


def _learning_curves(found: dict) -> Figure | None:
  """Mean over seeds with the range of all, one panel a point; of more than CURVES points
  as many, evenly spread in the order of the plan."""
  measured: dict[str, list[dict]] = {}
  for row in found["rows"]:
    if row["curve"]:
      measured.setdefault(row["point"], []).append(row)
  points = list(measured)
  if len(points) > CURVES:
    places = np.linspace(0, len(points) - 1, CURVES).round().astype(int)
    points = [points[place] for place in places]
  drawn = {point: measured[point] for point in points}
  if not drawn or max(len(r["curve"]) for rows in drawn.values() for r in rows) < 2:
    return None
  columns = min(3, len(drawn))
  lines = math.ceil(len(drawn) / columns)
  size = (1.2 + 2.6 * columns, 0.6 + 2.4 * lines)
  figure, axes = _figure(lines, columns, size, sharey=True)
  for panel, (point, rows) in zip(axes.flat, drawn.items(), strict=False):
    for arm, (colour, _) in _style(found).items():
      _band(panel, [row for row in rows if row["arm"] == arm], colour, arm)
    panel.set_xlim(left=0)
    panel.xaxis.get_offset_text().set(color=INK, fontsize=8)
    _label(panel, "", "", point)
  for panel in axes.flat[len(drawn) :]:
    panel.set_visible(False)
  _legend(axes[0][0])
  some = (
    f"; {len(drawn)} of {len(measured)} points" if len(drawn) < len(measured) else ""
  )
  figure.supxlabel(f"training FLOPs{some}", **_small())
  figure.supylabel(found["metric"], **_small())
  return figure


def _band(panel: object, rows: list[dict], colour: str, label: str) -> None:
  longest = max((len(row["curve"]) for row in rows), default=0)
  rows = [row for row in rows if len(row["curve"]) == longest]
  if not rows:
    return
  steps = np.array([step for step, _ in rows[0]["curve"]])
  values = np.array([[value for _, value in row["curve"]] for row in rows])
  flops = steps * rows[0]["flops"] / rows[0]["steps"]
  panel.plot(flops, values.mean(axis=0), color=colour, linewidth=1.1, label=label)
  panel.fill_between(
    flops, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, lw=0
  )


def _small() -> dict[str, object]:
  return {"color": INK, "fontsize": 9}
