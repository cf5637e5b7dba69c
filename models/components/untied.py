"""Untied: encoder-decoders whose sides do not share a table of tokens.

You are in: models/components, beside model.py. `embed` is the decoder's, and a tied
head's; the encoder has its own, and may have a width of its own.
"""

from __future__ import annotations

import dataclasses

from models.components.context import Memory
from models.components.dense import Dense
from models.components.embed import Embed
from models.components.model import Batch, EncoderDecoder, EncoderDecoderModel, Pass
from models.components.spec import spec


@spec
class UntiedEncoderDecoder(EncoderDecoder):
  """`EncoderDecoder` with a table for each side; with a head of its own there are three
  (AlexaTM 20B, Soltan et al. 2022, arXiv:2208.01448, section 3.1)."""

  encoder_embed: Embed = Embed()

  def build(self) -> UntiedEncoderDecoderModel:
    return UntiedEncoderDecoderModel(self)


class UntiedEncoderDecoderModel(EncoderDecoderModel):
  """The parts of `EncoderDecoder`, and `encoder_embedder`."""

  def __init__(self, spec: UntiedEncoderDecoder):
    super().__init__(spec)
    self.encoder_embedder = spec.encoder_embed.build(spec.vocab, spec.encoder_width)


@spec
class ProjectedEncoderDecoder(UntiedEncoderDecoder):
  """An encoder of `encoder_dim` features, projected to those of the decoder (CodeT5+,
  Wang et al. 2023, arXiv:2305.07922, section 3.3)."""

  encoder_dim: int

  @property
  def encoder_width(self) -> int:
    """Features of the encoder's residual stream."""
    return self.encoder_dim

  def build(self) -> ProjectedEncoderDecoderModel:
    return ProjectedEncoderDecoderModel(self)


class ProjectedEncoderDecoderModel(UntiedEncoderDecoderModel):
  """The parts of `UntiedEncoderDecoder`, and `encoder_projection`."""

  def __init__(self, spec: ProjectedEncoderDecoder):
    super().__init__(spec)
    self.encoder_projection = Dense(
      {"latent": spec.encoder_dim}, {"embed": spec.dim}, bias=True
    )

  def encode(self, batch: Batch, run: Pass = Pass()) -> tuple[Memory, dict]:
    memory, aux = super().encode(batch, run)
    output_BSD = self.encoder_projection(memory.output_BSD)
    return dataclasses.replace(memory, output_BSD=output_BSD), aux
