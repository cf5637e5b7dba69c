"""The figure of losses by a setting: which number it is drawn by, and that it is drawn."""

import pytest

from t5x_like.study import figures


def rows(**flops) -> list[dict]:
  """Two widths by three rates in two arms; `flops` by width."""
  flops = {"32": 1e9, "64": 4e9} | flops
  return [
    {
      "arm": arm,
      "point": f"width={width} rate={rate}",
      "flops": flops[width] if isinstance(flops[width], float) else flops[width][rate],
      "value": 3.0 + rate,
    }
    for arm in ("standard", "mup")
    for width in ("32", "64")
    for rate in (0.1, 0.01, 0.001)
  ]


def test_a_setting_is_a_number_that_costs_nothing():
  assert figures.setting(rows()) == "rate"
  assert figures.setting(rows(**{"64": {0.1: 1.0, 0.01: 2.0, 0.001: 3.0}})) is None
  words = [row | {"point": row["point"].replace("=0.1", "=a")} for row in rows()]
  assert figures.setting(words) is None
  assert figures.setting([row | {"point": ""} for row in rows()]) is None


def test_losses_are_drawn_by_rate_with_the_lowest_ringed():
  found = {
    "rows": [*rows(), rows()[0] | {"value": None}],
    "arms": [{"name": "standard"}, {"name": "mup"}],
    "metric": "validation/loss",
  }
  figure = figures.draw_setting(found)
  panels = figure.axes
  assert [panel.get_title() for panel in panels] == ["standard", "mup"]
  drawn = [line.get_label() for line in panels[0].lines]
  assert [label for label in drawn if label[0] != "_"] == ["width=32", "width=64"]
  ring = panels[0].lines[1]
  assert ring.get_xdata()[0] == pytest.approx(0.001)
  assert figures.draw_setting(found | {"rows": []}) is None
