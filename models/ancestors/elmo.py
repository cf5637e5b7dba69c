"""ELMo: deep representations of words from two language models, one in each direction.

You are in: models/ancestors. Peters et al. 2018, arXiv:1802.05365. It reads characters
and predicts words on both sides, which no layout of rows gives: it is called directly,
not by the verbs. `ELMo.build()` declares parameters like every model here.

Shapes: B batch, T words, C characters, W width of an output, V vocabulary.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from models.ancestors.cells import ProjectedLSTM
from models.ancestors.characters import CharacterCNN
from models.ancestors.recurrent import before, firsts, unroll
from models.components.context import Context
from models.components.dense import Dense
from models.components.param import Constant, declare
from models.components.spec import spec


@spec
class ELMo:
  """The bidirectional language model (sections 3.1 and 3.4).

  layers of cells in each direction, from the second on with a residual; both read the
  same characters' vectors and share the softmax over `vocab` words.
  """

  vocab: int
  characters: CharacterCNN = CharacterCNN()
  cell: ProjectedLSTM = ProjectedLSTM(hidden=4096, width=512, clip=3.0)
  layers: int = 2

  def build(self) -> ELMoModel:
    return ELMoModel(self)


class ELMoModel(nnx.Module):
  """`characters`, `forward_<n>`, `backward_<n>`, `head`."""

  def __init__(self, spec: ELMo):
    self.spec = spec
    width = spec.cell.width
    self.characters = spec.characters.build(width)
    for number in range(spec.layers):
      setattr(self, f"forward_{number}", spec.cell.build(width))
      setattr(self, f"backward_{number}", spec.cell.build(width))
    self.head = Dense({"embed": width}, {"vocab": spec.vocab}, bias=True)

  def __call__(self, ids_BTC: jax.Array, segments_BT: jax.Array) -> jax.Array:
    """[1 + layers, B, T, 2 W]: words alone, twice; then both directions of each layer."""
    words_BTW, *sides = self._sides(ids_BTC, segments_BT)
    layers = [(words_BTW, words_BTW), *zip(*sides, strict=True)]
    return jnp.stack([jnp.concatenate(pair, axis=-1) for pair in layers])

  def loss(
    self, ids_BTC: jax.Array, words_BT: jax.Array, segments_BT: jax.Array
  ) -> jax.Array:
    """Nats a prediction: each word from what precedes it, and from what follows it
    (section 3.1), within its segment; segment 0 is padding."""
    _, forward, backward = self._sides(ids_BTC, segments_BT)
    same = segments_BT[:, 1:] == segments_BT[:, :-1]
    counted = (same & (segments_BT[:, 1:] > 0)).astype(jnp.float32)
    ahead = self._nats(forward[-1][:, :-1], words_BT[:, 1:])
    behind = self._nats(backward[-1][:, 1:], words_BT[:, :-1])
    return ((ahead + behind) * counted).sum() / (2 * counted.sum())

  def _sides(self, ids_BTC: jax.Array, segments_BT: jax.Array) -> tuple:
    """The words' vectors, and the outputs of each layer forward and backward."""
    x_BTW = self.characters(ids_BTC)
    ctx = Context(segments_BT=segments_BT, positions_BT=segments_BT)
    sides = (self._read(x_BTW, ctx, name) for name in ("forward", "backward"))
    return (x_BTW, *sides)

  def _read(self, x_BTW: jax.Array, ctx: Context, name: str) -> list[jax.Array]:
    """Outputs of the layers of one direction, [B, T, W]."""
    reverse, outputs = name == "backward", []
    for number in range(self.spec.layers):
      cell = getattr(self, f"{name}_{number}")
      (y_BTW, _), _ = unroll(
        lambda state, inputs, cell=cell: (cell.step(state, inputs), None),
        cell.project(x_BTW),
        before=before(self.spec.cell, x_BTW, ctx, None),
        first_BT=firsts(ctx, reverse),
        start=None,
        reverse=reverse,
      )
      x_BTW = y_BTW + x_BTW if number else y_BTW
      outputs.append(x_BTW)
    return outputs

  def _nats(self, x_BTW: jax.Array, words_BT: jax.Array) -> jax.Array:
    # float32: sums over the vocabulary lose digits in 16 bits.
    log_p = jax.nn.log_softmax(self.head(x_BTW).astype(jnp.float32), axis=-1)
    return -jnp.take_along_axis(log_p, words_BT[..., None], axis=-1)[..., 0]


@spec
class LayerMix:
  """gamma * sum_j softmax(s)_j h_j: what a task makes of the layers (eq. 1)."""

  layers: int

  def build(self) -> LayerMixLayer:
    return LayerMixLayer(self)


class LayerMixLayer(nnx.Module):
  """layers_LBTW -> [B, T, W]. `scores` s and `scale` gamma are the task's."""

  def __init__(self, spec: LayerMix):
    self.scores = declare((spec.layers,), ("unmodeled",), Constant(value=0.0))
    self.scale = declare((1,), ("unmodeled",), Constant(value=1.0))

  def __call__(self, layers_LBTW: jax.Array) -> jax.Array:
    weights_L = jax.nn.softmax(self.scores[...])
    return self.scale[...] * jnp.einsum("l,lbtw->btw", weights_L, layers_LBTW)
