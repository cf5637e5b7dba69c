"""Untied: an encoder-decoder whose sides do not share a table of tokens.

You are in: models/components, beside model.py. `embed` is the decoder's, and a tied
head's; the encoder has its own.
"""

from __future__ import annotations

from models.components.embed import Embed
from models.components.model import EncoderDecoder, EncoderDecoderModel
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
    self.encoder_embedder = spec.encoder_embed.build(spec.vocab, spec.dim)
