"""Window: a hidden layer over the vectors of the last words.

You are in: models/ancestors. Bengio et al. 2003 (JMLR 3, 1137), equation 1: y = b + W x + U tanh(d + H x), where x holds
the vectors of the last n - 1 words. The head's kernel is U above W.

Shapes: B batch, T tokens, W words of context, M features of a word, D hidden + W M.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from models.components.attention import self_sight, write
from models.components.context import Context
from models.components.dense import Dense
from models.components.embed import Embed, EmbedLayer
from models.components.mask import Windowed, allowed
from models.components.spec import spec


@spec
class WordVectors(Embed):
  """A table [V, width], C of the paper; the model's `dim` is that of the head's input."""

  width: int

  def build(self, vocab: int, dim: int) -> EmbedLayer:
    return EmbedLayer(self, vocab, self.width)


@spec
class WindowStack:
  """[tanh(d + H x); x], x the vectors of the last `window` words, the nearest first.

  Words before the document are zero vectors. width: features of a word.
  """

  window: int
  width: int
  hidden: int

  @property
  def blocks(self) -> tuple:
    """No blocks with attention, which is what asks for them."""
    return ()

  def build(self, dim: int) -> WindowStackLayer:
    made = self.hidden + self.window * self.width
    if dim != made:
      raise ValueError(
        f"The model's dim={dim} must be hidden + window * width = {made}."
      )
    return WindowStackLayer(self)


class WindowStackLayer(nnx.Module):
  """x_BTM -> (x_BTD, cache, aux). `hidden`: H and d."""

  def __init__(self, spec: WindowStack):
    self.spec = spec
    context = {"embed": spec.window * spec.width}
    self.hidden = Dense(context, {"mlp": spec.hidden}, bias=True)

  def __call__(
    self, x_BTM: jax.Array, ctx: Context, cache: dict | None = None
  ) -> tuple[jax.Array, dict | None, dict]:
    """With a cache, of the words' vectors, decoding continues."""
    words_BSM = x_BTM
    if cache is not None:
      kept = cache["words"]["self"]["vectors"][0]
      words_BSM = write(kept[:, :, None], x_BTM[:, :, None], ctx)[:, :, 0]
      cache = {"words": {"self": {"vectors": words_BSM[None]}}}
    context_BTC = self._context(words_BSM, ctx)
    hidden_BTH = jnp.tanh(self.hidden(context_BTC))
    return jnp.concatenate([hidden_BTH, context_BTC], axis=-1), cache, {}

  def _context(self, words_BSM: jax.Array, ctx: Context) -> jax.Array:
    """[B, T, W M]."""
    sight = self_sight(ctx, words_BSM.shape[1])
    seen_BTS = allowed(Windowed(window=self.spec.window), sight)
    at_BTW = sight.query_BT[..., None] - jnp.arange(self.spec.window)
    inside_BTW = jnp.take_along_axis(seen_BTS, jnp.maximum(at_BTW, 0), axis=2)
    inside_BTW &= at_BTW >= 0
    flat_BX1 = jnp.maximum(at_BTW, 0).reshape(at_BTW.shape[0], -1, 1)
    found = jnp.take_along_axis(words_BSM, flat_BX1, axis=1)
    found_BTWM = found.reshape(*at_BTW.shape, -1) * inside_BTW[..., None]
    return found_BTWM.reshape(*at_BTW.shape[:2], -1)

  def empty_cache(self, batch: int, length: int, dtype: object) -> dict:
    """Room for the vectors of `length` words."""
    vectors = jnp.zeros((1, batch, length, self.spec.width), dtype)
    return {"words": {"self": {"vectors": vectors}}}
