"""Models: stacks between an embedding and a head.

You are in: models/components, top layer. A model spec is everything an architecture
is; `build()` gives an NNX module whose parameters are declared, not drawn. Bind values
with `param.bind(module, params)` inside a traced function, then call it.

Batches use T5X's names: encoder_input_tokens, decoder_input_tokens and, for both,
*_segment_ids, *_positions, *_block_positions, *_token_types (all int32 [B, T]; segment 0
is padding), and decoder_causal_attention for prefix language models. A missing *_segment_ids means that
every token counts, a missing *_positions that positions are row indices.

Shapes: B batch, T tokens, D embed, V vocab.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.alternating import Factors
from models.components.attend_ring import Ring
from models.components.attend_splash import Split
from models.components.context import Context, Memory, unconstrained, unwatched
from models.components.embed import Embed, EmbedLayer, Head, HeadWeights
from models.components.execution import Execution
from models.components.pipeline import Stages
from models.components.spec import spec
from models.components.stack import Stack, added, cache_length
from models.components.tower import Tower, width

Batch = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pass:
  """How one forward pass is run: nothing here changes what is computed.

  key: dropout key, None in evaluation. constrain(x, axes): pins activations to the
  mesh. watch(x, name): sees what is computed at each place that has a dropout. What it
  sees are tracers: keep none of them where layers are scanned or recomputed.
  batch_shards: devices over which the batch dimension is spread. ring: those that share
  the tokens of a row, or None. split: how rows and heads lie on the mesh, for kernels that
  XLA cannot split by itself. stages: those that share the layers of a stack, or None.
  """

  execution: Execution = Execution()
  key: jax.Array | None = None
  constrain: Callable = unconstrained
  watch: Callable = unwatched
  batch_shards: int = 1
  ring: Ring | None = None
  split: Split | None = None
  stages: Stages | None = None


@spec
class Decoder:
  """A decoder alone: causal or prefix language model, by the mask of its blocks."""

  vocab: int
  dim: int
  decoder: Stack | Tower
  embed: Embed = Embed()
  head: Head = Head()
  dropout: float = 0.0
  init: tuple = ()

  def build(self) -> DecoderModel:
    return DecoderModel(self)


@spec
class EncoderDecoder:
  """An encoder, and a decoder that looks at its output; one token table for both."""

  vocab: int
  dim: int
  encoder: Stack
  decoder: Stack
  embed: Embed = Embed()
  head: Head = Head()
  dropout: float = 0.0
  init: tuple = ()

  @property
  def encoder_width(self) -> int:
    """Features of the encoder's residual stream."""
    return self.dim

  def build(self) -> EncoderDecoderModel:
    return EncoderDecoderModel(self)


class LanguageModel(nnx.Module):
  """What all kinds share. batch -> (hidden_BTD, aux); `logits` or `head_weights` turn
  hidden into scores. `answers`: the side whose *_target_tokens and *_loss_weights of the
  batch the scores are for."""

  answers = "decoder"

  def __init__(self, spec: object):
    self.spec = spec
    self.init_rules = spec.init
    self.token_embedder = spec.embed.build(spec.vocab, spec.dim)
    side = getattr(spec, self.answers)
    self.head = spec.head.build(spec.vocab, width(side, spec.dim))

  def __call__(self, batch: Batch, run: Pass = Pass()) -> tuple[jax.Array, dict]:
    x_BTD, ctx, aux = self.enter(batch, run)
    x_BTD, _, more = self._stack(x_BTD, ctx)
    return self._transformed(x_BTD), added(aux, more)

  def enter(self, batch: Batch, run: Pass) -> tuple[jax.Array, Context, dict]:
    """(x_BTD, context, aux): what goes into the layers whose output is scored."""
    ctx = self._context(batch, self.answers, run)
    return self._embed(batch[f"{self.answers}_input_tokens"], ctx), ctx, {}

  def scored(
    self, batch: Batch, run: Pass, score: Callable, factors: Factors
  ) -> tuple[jax.Array, dict, dict]:
    """(objective, sums, aux) where a pipeline has the loss computed inside.

    score(hidden_BTD, batch, part) -> (objective, sums), of the `part`-th of
    `run.stages.count` parts of the tokens of some rows.
    """
    x_BTD, ctx, aux = self.enter(batch, run)

    def transformed(x_BTD, batch, part):
      return score(self._transformed(x_BTD), batch, part)

    total, sums, more = self._stack.scored(x_BTD, ctx, transformed, batch, factors)
    return total + factors.aux * sum(aux.values()), sums, added(aux, more)

  @property
  def _stack(self) -> nnx.Module:
    return getattr(self, self.answers)

  def head_weights(self) -> HeadWeights:
    """What turns hidden states into logits; for losses that never store all logits."""
    scale, bias = self.spec.head.scale, None
    if self.spec.head.bias:
      bias = self.head.bias[...]
    if self.spec.head.tied:
      return HeadWeights(self.token_embedder.embedding[...], 1, scale, bias)
    return HeadWeights(self.head.kernel[...], 0, scale, bias)

  def logits(self, hidden_BTD: jax.Array) -> jax.Array:
    """float32 [B, T, V]."""
    return self.head_weights().logits(hidden_BTD)

  def _transformed(self, hidden_BTD: jax.Array) -> jax.Array:
    """Hidden states as the head's product takes them."""
    if self.spec.head.transform is None:
      return hidden_BTD
    return self.head.transform(hidden_BTD)

  def _context(self, batch: Batch, side: str, run: Pass) -> Context:
    tokens = batch[f"{side}_input_tokens"]
    rows = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    key = run.key
    if key is not None and side == "encoder":
      key = jax.random.fold_in(key, 1)
    return Context(
      execution=run.execution,
      segments_BT=batch.get(f"{side}_segment_ids", jnp.ones_like(tokens)),
      positions_BT=batch.get(f"{side}_positions", rows),
      block_positions_BT=batch.get(f"{side}_block_positions"),
      rows_B=jnp.arange(tokens.shape[0]),
      tokens_BT=tokens,
      domains_BT=batch.get(f"{side}_domain_ids"),
      types_BT=batch.get(f"{side}_token_types"),
      prefix_BT=batch.get("decoder_causal_attention") if side == "decoder" else None,
      dropout=self.spec.dropout,
      key=key,
      constrain=run.constrain,
      watch=run.watch,
      batch_shards=run.batch_shards,
      ring=run.ring,
      split=run.split,
      stages=run.stages,
    )

  def _embed(
    self, tokens_BT: jax.Array, ctx: Context, embedder: EmbedLayer | None = None
  ) -> jax.Array:
    x_BTD = (embedder or self.token_embedder)(tokens_BT, ctx)
    x_BTD = ctx.constrain(x_BTD, ("batch", "length", "embed"))
    return ctx.drop(x_BTD, "embed")


class DecoderModel(LanguageModel):
  """batch -> (hidden_BTD, aux)."""

  def __init__(self, spec: Decoder | EncoderDecoder):
    super().__init__(spec)
    self.decoder = spec.decoder.build(spec.dim)

  def decode(
    self,
    batch: Batch,
    run: Pass = Pass(),
    *,
    memory: Memory | None = None,
    cache: dict | None = None,
    index_B: jax.Array | None = None,
  ) -> tuple[jax.Array, dict | None, dict]:
    """Runs the decoder; with a cache, on the tokens at rows' indices `index_B`."""
    if cache is not None and self.token_embedder.position is not None:
      self.token_embedder.position.check(cache_length(cache))
    # Not `self.enter`: where there is an encoder, it has read the batch before.
    x_BTD, ctx, _ = LanguageModel.enter(self, batch, run)
    ctx = dataclasses.replace(ctx, memory=memory, index_B=index_B)
    x_BTD, cache, aux = self.decoder(x_BTD, ctx, cache)
    return self._transformed(x_BTD), cache, aux


class EncoderDecoderModel(DecoderModel):
  """batch -> (hidden_BTD of the decoder, aux). encoder_embedder: the encoder's own
  table, None where both sides share one."""

  encoder_embedder: EmbedLayer | None = None

  def __init__(self, spec: EncoderDecoder):
    super().__init__(spec)
    self.encoder = spec.encoder.build(spec.encoder_width)

  def enter(self, batch: Batch, run: Pass) -> tuple[jax.Array, Context, dict]:
    memory, aux = self.encode(batch, run)
    x_BTD, ctx, _ = super().enter(batch, run)
    return x_BTD, dataclasses.replace(ctx, memory=memory), aux

  def encode(self, batch: Batch, run: Pass = Pass()) -> tuple[Memory, dict]:
    """The encoder's output, computed once per batch or per generated sequence."""
    ctx = self._context(batch, "encoder", run)
    x_BTD = self._embed(batch["encoder_input_tokens"], ctx, self.encoder_embedder)
    output_BSD, _, aux = self.encoder(x_BTD, ctx)
    return Memory(output_BSD=output_BSD, segments_BS=ctx.segments_BT), aux
