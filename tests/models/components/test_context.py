"""Dropout: masks of their own for every layer, place and side; the mean is kept."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.components.attention import Attention
from models.components.context import Context
from models.components.execution import Execution
from models.components.param import Constant, declare
from models.components.spec import spec
from models.components.stack import Stack

RATE = 0.25


def context(**fields) -> Context:
  tokens = jnp.zeros((4, 64), jnp.int32)
  key = jax.random.key(0)
  made = dict(segments_BT=tokens, positions_BT=tokens, dropout=RATE, key=key)
  return Context(**(made | fields))


@spec
class Drop:
  """A block that adds a dropped one to every element."""

  attention: Attention = Attention(heads=1, head_dim=1)

  def build(self, dim: int) -> "DropLayer":
    return DropLayer()


class DropLayer(nnx.Module):
  def __init__(self):
    self.one = declare((1,), ("embed",), Constant(value=1.0))

  def __call__(self, x, ctx, cache=None):
    return x + ctx.drop(jnp.ones_like(x) * self.one[...], "here"), None, {}


def test_every_layer_has_a_mask_of_its_own():
  """Two independent masks of a quarter: one of the two is dropped 6 times in 16."""
  for scan in (True, False):
    layer = Stack(blocks=2 * (Drop(),)).build(8)
    layer.blocks_0.one.set_value(jnp.ones((2, 1)))
    ctx = context(execution=Execution(scan=scan))
    run = jax.jit(lambda x, layer=layer, ctx=ctx: layer(x, ctx)[0])
    total = np.asarray(run(jnp.zeros((4, 64, 8)))) * (1 - RATE)
    # 2048 draws: a standard error of 0.011.
    assert abs(np.mean(np.isclose(total, 1)) - 2 * RATE * (1 - RATE)) < 0.05


def test_places_and_layers_draw_from_different_keys():
  ctx = context()
  keys = [ctx.key_for("a"), ctx.key_for("b"), ctx.layer(0).key_for("a")]
  keys += [ctx.layer(1).key_for("a"), context(key=jax.random.key(1)).key_for("a")]
  assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == len(keys)


def test_dropout_keeps_the_mean():
  x = np.asarray(context().drop(jnp.ones((4, 64, 32)), "here"))
  assert set(np.unique(x)) == {np.float32(0), np.float32(1 / (1 - RATE))}
  # 8192 draws of 0 or 4/3: a standard error of 0.0064.
  assert abs(x.mean() - 1) < 0.032


def test_evaluation_and_a_rate_of_zero_drop_nothing():
  x = jnp.ones((2, 3))
  assert context(key=None).drop(x, "here") is x
  assert context(dropout=0.0).drop(x, "here") is x
