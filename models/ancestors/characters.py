"""Characters: words as spelled, and a convolution that makes a vector of a spelling.

You are in: models/ancestors. Kim et al. 2016, arXiv:1508.06615; the sizes and the
alphabet are those of the released ELMo (Peters et al. 2018, arXiv:1802.05365, section
3.4): the 256 bytes, five marks, and 0 for what is no word.

Shapes: B batch, T words, C characters of a word, W features of a word.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.components.dense import Dense
from models.components.param import Normal, declare
from models.components.spec import spec

# Ids of marks before one is added to all, so that 0 is free.
BEGIN_TEXT, END_TEXT, BEGIN_WORD, END_WORD, FILL = range(256, 261)
ALPHABET = 262


def spelled(words: list[str | int], width: int = 50) -> np.ndarray:
  """int32 [T, width]: each word between its marks, filled up, longer ones cut.

  A word may be BEGIN_TEXT or END_TEXT instead of a string.
  """
  out = np.full((len(words), width), FILL, np.int32)
  for row, word in zip(out, words, strict=True):
    inside = [word] if isinstance(word, int) else list(word.encode())[: width - 2]
    ids = [BEGIN_WORD, *inside, END_WORD]
    row[: len(ids)] = ids
  return out + 1


@spec
class CharacterCNN:
  """Convolutions over a word, the largest value of each, highways, one projection.

  filters: (characters, number) of each convolution. width: features of a character.
  highways: layers of Srivastava et al. 2015, arXiv:1505.00387.
  """

  filters: tuple[tuple[int, int], ...] = (
    (1, 32),
    (2, 32),
    (3, 64),
    (4, 128),
    (5, 256),
    (6, 512),
    (7, 1024),
  )
  width: int = 16
  highways: int = 2

  def build(self, dim: int) -> CharacterCNNLayer:
    return CharacterCNNLayer(self, dim)


class CharacterCNNLayer(nnx.Module):
  """ids_BTC -> [B, T, dim]. `filter_<characters>`, `highway_<n>` and its `gate_<n>`."""

  def __init__(self, spec: CharacterCNN, dim: int):
    self.spec = spec
    shape, axes = (ALPHABET, spec.width), ("vocab", "embed")
    self.embedding = declare(shape, axes, Normal(std=1.0))
    features = sum(number for _, number in spec.filters)
    for size, number in spec.filters:
      kernel = Dense({"embed": size * spec.width}, {"mlp": number}, bias=True)
      setattr(self, f"filter_{size}", kernel)
    for number in range(spec.highways):
      for name in ("highway", "gate"):
        square = Dense({"embed": features}, {"mlp": features}, bias=True)
        setattr(self, f"{name}_{number}", square)
    self.project = Dense({"mlp": features}, {"embed": dim}, bias=True)

  def __call__(self, ids_BTC: jax.Array) -> jax.Array:
    letters = self.embedding[...][ids_BTC]
    found = [self._strongest(letters, size) for size, _ in self.spec.filters]
    x_BTW = jax.nn.relu(jnp.concatenate(found, axis=-1))
    for number in range(self.spec.highways):
      new = jax.nn.relu(getattr(self, f"highway_{number}")(x_BTW))
      gate = jax.nn.sigmoid(getattr(self, f"gate_{number}")(x_BTW))
      x_BTW = gate * new + (1 - gate) * x_BTW
    return self.project(x_BTW)

  def _strongest(self, letters: jax.Array, size: int) -> jax.Array:
    """The largest value of each filter over the places in a word."""
    places = letters.shape[2] - size + 1
    shifted = [letters[:, :, shift : shift + places] for shift in range(size)]
    windows = jnp.concatenate(shifted, axis=-1)
    return getattr(self, f"filter_{size}")(windows).max(axis=2)
