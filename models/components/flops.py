"""FLOPs of a spec: the matrix products, counted from declared kernels.

You are in: models/components. Convention (state it beside every figure): a product of
[m, k] and [k, n] is 2 m k n; the backward pass is twice the forward pass; attention
scores count what the mask lets through (half of a causal one), so a kernel that computes
the rest gains nothing; of experts, those that a token chooses count; norms, softmax,
biases and the embedding lookup count nothing.
"""

from __future__ import annotations

import math

from models.components.param import Declared, declarations
from models.components.stack import Stack

NOT_MULTIPLIED = ("abspos_buckets", "relpos_buckets")
# Kernels that see one token of a row: heads for the row as a whole.
ONCE = ("_head/pooler/kernel", "_head/classifier/kernel")


def forward_flops(model: object, *, batch: int, lengths: dict[str, int]) -> int:
  """FLOPs of one forward pass over full rows of these model lengths.

  lengths: {"encoder": tokens, "decoder": tokens} as in the batch's arrays.
  """
  encoder, decoder = lengths.get("encoder", 0), lengths.get("decoder", 0)
  answers = decoder if hasattr(model, "decoder") else encoder
  total, declared_by_path = 0, declarations(model)
  for path, declared in declared_by_path.items():
    tokens = encoder if path.startswith("encoder") else answers
    if path.endswith(ONCE):
      tokens = 1
    if "/cross/key/" in path or "/cross/value/" in path:
      tokens = encoder
    passes = tokens * times(model, path)
    total += 2 * passes * used(model, path, _multiplied(path, declared))
  if model.head.tied:
    total += 2 * answers * declared_by_path["token_embedder/embedding"].size
  for side, length in (("encoder", encoder), ("decoder", decoder)):
    if hasattr(model, side):
      total += _scores(getattr(model, side), length, encoder)
  return batch * total


def step_flops(model: object, *, batch: int, lengths: dict[str, int]) -> int:
  """FLOPs of one training step: forward and backward, recomputation not counted."""
  return 3 * forward_flops(model, batch=batch, lengths=lengths)


def times(model: object, path: str) -> int:
  """How often a token passes a parameter: more than once where layers share it."""
  side, rest = path.partition("/")[::2]
  inside = rest.startswith("blocks_")
  return getattr(getattr(model, side), "times", 1) if inside else 1


def active_parameters(model: object) -> int:
  """Parameters that one token passes through, embedding tables included."""
  return sum(used(model, path, d.size) for path, d in declarations(model).items())


def used(model: object, path: str, elements: int) -> int:
  """Elements of a parameter that one token uses: of all experts, those it chooses."""
  side, blocks, part, *rest = [*path.split("/"), "", ""]
  if rest[0] != "experts":
    return elements
  block = getattr(model, side).blocks[int(blocks.removeprefix("blocks_"))]
  mixture = getattr(block, part)
  return int(elements * mixture.active / mixture.experts)


def _multiplied(path: str, declared: Declared) -> int:
  """Elements of a parameter that multiply every token: kernels, not tables."""
  if not path.endswith(("/kernel", "/centroids")) or set(declared.axes) & set(
    NOT_MULTIPLIED
  ):
    return 0
  return math.prod(declared.shape)


def _scores(stack: Stack, tokens: int, memory: int) -> int:
  """Query-key and weight-value products of one row."""
  total = 0.0
  for block in stack.blocks:
    attention = block.attention
    width = attention.heads * (attention.score_width + attention.value_width) / 2
    total += 4 * tokens * attention.mask.seen(tokens) * width
    if block.cross is not None:
      total += 4 * tokens * memory * block.cross.heads * block.cross.head_dim
  return int(total)
