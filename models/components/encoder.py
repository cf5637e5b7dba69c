"""Encoder: a stack that answers in place, with heads for a row as a whole.

You are in: models/components, top layer, beside model.py. Batches have
encoder_input_tokens and may have encoder_segment_ids, _positions and _token_types;
answers are encoder_target_tokens where encoder_loss_weights are not zero, and one array
[B, 1] for each pooled head, by its label, with -1 in rows that have none.

Shapes: B batch, T tokens, D embed, V vocab, C classes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.dense import Dense
from models.components.embed import Embed, Head
from models.components.ffn import activation
from models.components.model import Batch, LanguageModel, Pass
from models.components.norm import LayerNorm
from models.components.spec import spec
from models.components.stack import Stack
from models.components.tower import Tower, width


@spec
class Pooled:
  """Classes of a row, from its first token: act(x W + b) U + c.

  BERT's pooler and next-sentence head (arXiv:1810.04805, A.1), ALBERT's sentence order.
  label: the array of the batch that holds the right class; its name in metrics.
  """

  label: str
  classes: int = 2
  act: str = "tanh"

  def build(self, dim: int) -> PooledLayer:
    return PooledLayer(self, dim)


class PooledLayer(nnx.Module):
  """hidden_BTD -> logits [B, C], float32."""

  def __init__(self, spec: Pooled, dim: int):
    embed = {"embed": dim}
    self.label = spec.label
    self.act = activation(spec.act, "Pooled")
    self.pooler = Dense(embed, {"mlp": dim}, bias=True)
    self.classifier = Dense({"mlp": dim}, {"classes": spec.classes}, bias=True)

  def __call__(self, hidden_BTD: jax.Array) -> jax.Array:
    pooled_BD = self.act(self.pooler(hidden_BTD[:, 0]))
    return self.classifier(pooled_BD).astype(jnp.float32)

  def loss(self, hidden_BTD: jax.Array, label_B: jax.Array) -> jax.Array:
    """Mean cross-entropy in nats of the rows that have a label (not -1)."""
    log_p = jax.nn.log_softmax(self(hidden_BTD))
    right = jnp.take_along_axis(log_p, jnp.maximum(label_B, 0)[:, None], axis=1)[:, 0]
    counted = (label_B >= 0).astype(jnp.float32)
    return -jnp.sum(right * counted) / jnp.maximum(jnp.sum(counted), 1.0)


@spec
class DenseTransform:
  """norm(act(x W + b)): what BERT's hidden states pass before the tied table.

  width: of the table, None for that of the residual stream (ALBERT's is narrower).
  """

  act: str = "gelu"
  norm: object = LayerNorm()
  width: int | None = None

  def build(self, dim: int) -> DenseTransformLayer:
    return DenseTransformLayer(self, dim)


class DenseTransformLayer(nnx.Module):
  """x_BTD -> [B, T, width]."""

  def __init__(self, spec: DenseTransform, dim: int):
    width = {"latent": spec.width} if spec.width else {"mlp": dim}
    self.act = activation(spec.act, "DenseTransform")
    self.dense = Dense({"embed": dim}, width, bias=True)
    self.norm = spec.norm.build(spec.width or dim)

  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    return self.norm(self.act(self.dense(x_BTD)))


@spec
class Encoder:
  """An encoder alone, trained to fill in masked tokens and to judge whole rows."""

  vocab: int
  dim: int
  encoder: Stack | Tower
  embed: Embed = Embed()
  head: Head = Head()
  pooled: tuple[Pooled, ...] = ()
  dropout: float = 0.0
  init: tuple = ()

  @property
  def of_rows(self) -> tuple[str, ...]:
    """Names of losses of whole rows."""
    return tuple(head.label for head in self.pooled)

  def build(self) -> EncoderModel:
    return EncoderModel(self)


class EncoderModel(LanguageModel):
  """batch -> (hidden_BTD of the masked tokens' head, aux: one loss a pooled head)."""

  answers = "encoder"

  def __init__(self, spec: Encoder):
    super().__init__(spec)
    self.encoder = spec.encoder.build(spec.dim)
    features = width(spec.encoder, spec.dim)
    for head in spec.pooled:
      setattr(self, f"{head.label}_head", head.build(features))

  def __call__(self, batch: Batch, run: Pass = Pass()) -> tuple[jax.Array, dict]:
    hidden_BTD, aux = self.encode(batch, run)
    for head in self.pooled_heads():
      if head.label in batch:
        aux[head.label] = head.loss(hidden_BTD, batch[head.label][:, 0])
    return self._transformed(hidden_BTD), aux

  def encode(self, batch: Batch, run: Pass = Pass()) -> tuple[jax.Array, dict]:
    """(hidden_BTD of the stack, its extra losses)."""
    x_BTD, ctx, _ = self.enter(batch, run)
    hidden_BTD, _, aux = self.encoder(x_BTD, ctx)
    return hidden_BTD, dict(aux)

  def pooled_heads(self) -> list[PooledLayer]:
    """Heads for a row as a whole."""
    return [getattr(self, f"{head.label}_head") for head in self.spec.pooled]
