"""Block positions: a second table of positions, for tokens that fill in a span.

You are in: models/components. Data gives both positions of a token (layouts_encoder.
BlockInfilling): where its span's mask stands, and where in the span it is.

Shapes: B batch, T tokens, D embed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from models.components.context import Context
from models.components.embed import Embed, EmbedLayer
from models.components.position import Learned
from models.components.spec import spec


@spec
class BlockEmbed(Embed):
  """`Embed` with the sum of two tables of positions (GLM, Du et al. 2021,
  arXiv:2103.10360, section 2.2): `position`, and `block` by `*_block_positions`."""

  position: Learned
  block: Learned

  def build(self, vocab: int, dim: int) -> BlockEmbedLayer:
    return BlockEmbedLayer(self, vocab, dim)


class BlockEmbedLayer(EmbedLayer):
  """The parts of `Embed`, and `block`. Without block positions, all of them are 0."""

  def __init__(self, spec: BlockEmbed, vocab: int, dim: int):
    super().__init__(spec, vocab, dim)
    self.block = spec.block.build(dim)

  def places(self, ctx: Context) -> jax.Array:
    inside_BT = ctx.block_positions_BT
    if inside_BT is None:
      inside_BT = jnp.zeros_like(ctx.positions_BT)
    return super().places(ctx) + self.block(inside_BT)
