"""Loss scales against tables written from their rules."""

import jax
import numpy as np
import pytest

from t5x_like.loss_scale import DynamicLossScale, WindowedLossScale


def table(spec, flags, windowed):
  scale, good, period, rows = spec.initial, 0, spec.period, []
  for finite in flags:
    before = scale
    good = good + 1 if finite else 0
    if not finite:
      scale = max(scale / spec.factor, spec.min)
    elif good == period:
      scale, good = scale * spec.factor, 0
    if windowed:
      period = max(round(period * scale / before), 1)
    rows.append((scale, good, period))
  return rows


@pytest.mark.parametrize(
  "spec", [DynamicLossScale(initial=8.0, period=3), WindowedLossScale(period=4)]
)
def test_the_scale_follows_its_rule(spec):
  flags = np.random.default_rng(0).random(200) < 0.8
  flags[:9] = False  # down to the minimum
  state = spec.start()
  _, states = jax.lax.scan(lambda s, f: (spec.update(s, f),) * 2, state, flags)
  rows = [tuple(float(x) for x in row) for row in zip(*states, strict=True)]
  # Powers of two: exact.
  assert rows == table(spec, flags, isinstance(spec, WindowedLossScale))


def test_a_factor_that_does_not_grow_is_refused():
  with pytest.raises(ValueError, match="factor"):
    DynamicLossScale(factor=1.0)
