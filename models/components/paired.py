"""Paired: an encoder-decoder that also judges whether two texts belong together.

You are in: models/components, beside model.py. Second stage of CodeT5+ (Wang et al. 2023,
arXiv:2305.07922, section 3.2): a batch is pairs of a text (the encoder's input) and a
code (the decoder's targets), one pair a row; beside writing the code,

  contrastive  the encoder reads both; their first positions, projected to unit vectors,
               are to be nearest to their partner's among all rows of the batch
  matching     the decoder reads the code and looks at the text; its last position says
               whether they are a pair, for true pairs and for hard ones that are none

Both are extra losses in nats a row, of the rows that hold a pair. Other rows of the batch
(of a microbatch, where there are several) are the negatives; a queue and an encoder that
follows by momentum, which serve small batches, are not here.

Shapes: B rows, T tokens, D embed, P projection.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from models.components.context import Memory
from models.components.dense import Dense
from models.components.model import Batch, EncoderDecoder, EncoderDecoderModel, Pass
from models.components.spec import spec
from models.components.stack import added

NEVER = -1e9  # finite: a row without any partner stays a number


@spec
class PairedEncoderDecoder(EncoderDecoder):
  """`EncoderDecoder` with a projection to `projection` features and a head for pairs.

  temperature: what cosines are divided by; the paper's code learns it, from 0.07.
  """

  projection: int = 256
  temperature: float = 0.07

  @property
  def of_rows(self) -> tuple[str, ...]:
    """Names of losses of whole rows."""
    return ("contrastive", "matching")

  def build(self) -> PairedEncoderDecoderModel:
    return PairedEncoderDecoderModel(self)


@spec
class Paired:
  """A swap: SWAPS = {'EncoderDecoder': @paired.Paired()} keeps all parts of a model."""

  projection: int = 256
  temperature: float = 0.07

  def instead_of(self, old: EncoderDecoder) -> PairedEncoderDecoder:
    """The model with a projection and a head for pairs."""
    parts = {f.name: getattr(old, f.name) for f in dataclasses.fields(old)}
    return PairedEncoderDecoder(**vars(self), **parts)


class PairedEncoderDecoderModel(EncoderDecoderModel):
  """batch -> (hidden_BTD of the decoder, aux with `contrastive` and `matching`)."""

  def __init__(self, spec: PairedEncoderDecoder):
    super().__init__(spec)
    embed = {"embed": spec.dim}
    self.projection = Dense(embed, {"latent": spec.projection}, bias=True)
    self.pair_head = Dense(embed, {"classes": 2}, bias=True)

  def __call__(self, batch: Batch, run: Pass = Pass()) -> tuple[jax.Array, dict]:
    texts, aux = self.encode(batch, run)
    hidden_BTD, _, more = self.decode(batch, run, memory=texts)
    codes, _ = self.encode(_read(batch, "encoder"), run)
    real_B = texts.segments_BS[:, 0] > 0
    scores_BB = self.unit(texts) @ self.unit(codes).T / self.spec.temperature
    pairs = {
      "contrastive": contrastive(scores_BB, real_B),
      "matching": self._matching(batch, run, texts, scores_BB, real_B),
    }
    return hidden_BTD, added(aux, more) | pairs

  def unit(self, memory: Memory) -> jax.Array:
    """Unit vectors [B, P] of what the encoder read, float32."""
    x_BP = self.projection(memory.output_BSD[:, 0]).astype(jnp.float32)
    return x_BP / jnp.linalg.norm(x_BP, axis=-1, keepdims=True)

  def pair_logits(self, batch: Batch, run: Pass, texts: Memory) -> jax.Array:
    """[B, 2], float32: no pair, a pair; for the targets of a batch beside `texts`."""
    hidden_BTD, _, _ = self.decode(_read(batch, "decoder"), run, memory=texts)
    last_B = jnp.sum(batch["decoder_segment_ids"] > 0, axis=1) - 1
    last_BD = jnp.take_along_axis(hidden_BTD, last_B[:, None, None], axis=1)[:, 0]
    return self.pair_head(last_BD).astype(jnp.float32)

  def _matching(self, batch, run, texts, scores_BB, real_B) -> jax.Array:
    """Every text beside its own code, and beside one that is like it."""
    likely_BB = jax.lax.stop_gradient(scores_BB)
    likely_BB = jnp.where(
      real_B[None] & ~jnp.eye(len(real_B), dtype=bool), likely_BB, NEVER
    )
    if run.key is None:
      other_B = jnp.argmax(likely_BB, axis=1)
    else:
      other_B = jax.random.categorical(
        jax.random.fold_in(run.key, 3), likely_BB, axis=1
      )
    names = ("target_tokens", "segment_ids", "positions")
    taken = lambda name: jnp.take(batch[name], other_B, axis=0)
    wrong = {f"decoder_{name}": taken(f"decoder_{name}") for name in names}
    no, yes = (
      jax.nn.log_softmax(self.pair_logits(codes, run, texts))
      for codes in (wrong, batch)
    )
    return -_mean((no[:, 0] + yes[:, 1]) / 2, real_B)


def contrastive(scores_BB: jax.Array, real_B: jax.Array) -> jax.Array:
  """Cross-entropy of finding row i's partner, row i, from either side; its mean."""
  total = 0.0
  for one in (scores_BB, scores_BB.T):
    log_p = jax.nn.log_softmax(jnp.where(real_B[None], one, NEVER))
    total = total - _mean(jnp.diagonal(log_p), real_B) / 2
  return total


def _read(batch: Batch, side: str) -> Batch:
  """The targets of a batch as what a side reads."""
  return {
    f"{side}_input_tokens": batch["decoder_target_tokens"],
    f"{side}_segment_ids": batch["decoder_segment_ids"],
    f"{side}_positions": batch["decoder_positions"],
  }


def _mean(values_B: jax.Array, real_B: jax.Array) -> jax.Array:
  counted = real_B.astype(jnp.float32)
  return jnp.sum(values_B * counted) / jnp.maximum(jnp.sum(counted), 1.0)
