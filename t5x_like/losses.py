"""Losses: cross-entropy over a large vocabulary without storing all logits.

You are in: t5x_like, pure part (JAX only). In: hidden states and the head's weights.
Out: sums, never means, so that they add over microbatches, devices and evaluation
batches and are divided once, by the summed weights.

Shapes: B batch, T tokens, D embed, V vocab.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

CHUNK_TOKENS = 512  # tokens whose logits exist at one time
# Over several devices every chunk costs a sum of the head's gradient, so chunks are
# larger: as many tokens as have this many bytes of logits, on each batch shard.
SHARED_BYTES = 512 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossEntropy:
  """Softmax cross-entropy with label smoothing and z-loss.

  z_loss: adds z_loss * log(Z)^2 a token (T5X losses.py; PaLM, arXiv:2204.02311, 5).
  label_smoothing: the target distribution puts 1 - label_smoothing on the target and
    spreads the rest over all other ids; the entropy of that distribution is
    subtracted, so that a perfect prediction has loss 0 (T5X `compute_weighted_cross_
    entropy`).
  """

  z_loss: float = 0.0
  label_smoothing: float = 0.0

  def __post_init__(self):
    if not 0.0 <= self.label_smoothing < 1.0:
      raise ValueError(
        f"CrossEntropy.label_smoothing={self.label_smoothing} must lie in [0, 1)."
      )

  def __call__(
    self,
    hidden_BTD: jax.Array,
    kernel: jax.Array,
    targets_BT: jax.Array,
    weights_BT: jax.Array,
    *,
    embed_axis: int = 0,
    scale: float = 1.0,
    bias: jax.Array | None = None,
    batch_shards: int = 1,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(objective, sums): the sum over tokens to minimize, and sums for metrics.

    kernel: [D, V] (embed_axis 0) or [V, D] (embed_axis 1). bias: [V] or None. sums: "loss" (cross-entropy
    alone, nats), "z_loss", "correct" and "weight", all float32 scalars.
    """
    vocab = kernel.shape[1 - embed_axis]
    call = _Call(self.z_loss, self.label_smoothing, embed_axis, scale, vocab)
    tokens = chunk_tokens(vocab, batch_shards)
    rows = max(1, tokens // max(1, hidden_BTD.shape[0] // batch_shards))
    chunk = _divisor(hidden_BTD.shape[1], rows)
    weights = weights_BT.astype(jnp.float32)
    return _sums(call, chunk, hidden_BTD, kernel, bias, targets_BT, weights)


def chunk_tokens(vocab: int, batch_shards: int) -> int:
  """Tokens of one batch shard whose logits exist at one time."""
  if batch_shards == 1:
    return CHUNK_TOKENS
  return max(CHUNK_TOKENS, SHARED_BYTES // (4 * vocab))


@dataclasses.dataclass(frozen=True)
class _Call:
  """The numbers a chunk needs besides arrays; hashable, so static under jit."""

  z_loss: float
  smoothing: float
  embed_axis: int
  scale: float
  vocab: int

  @property
  def confidence(self) -> float:
    return 1.0 - self.smoothing

  @property
  def low(self) -> float:
    return self.smoothing / (self.vocab - 1)

  @property
  def entropy(self) -> float:
    if self.smoothing == 0.0:
      return 0.0
    rest = (self.vocab - 1) * self.low * math.log(self.low + 1e-20)
    return -(self.confidence * math.log(self.confidence) + rest)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _sums(call, chunk, *arrays):
  return _loop(call, chunk, *arrays, False)[0]


def _forward(call, chunk, *arrays):
  # The gradient is computed here, chunk by chunk, while the chunk's logits exist: three
  # products a chunk, where recomputing them in the backward pass would take four.
  sums, *gradients = _loop(call, chunk, *arrays, True)
  return sums, gradients


def _backward(call, chunk, saved, cotangents):
  scale = cotangents[0]  # of the objective; the metrics' sums carry no gradient
  d_hidden, d_kernel, d_bias = jax.tree.map(
    lambda gradient: (scale * gradient).astype(gradient.dtype), saved
  )
  return d_hidden, d_kernel, d_bias, None, None


_sums.defvjp(_forward, _backward)


def _loop(call, chunk, hidden_BTD, kernel, bias, targets_BT, weights_BT, gradient):
  """Sums over chunks of `chunk` positions of every row; B stays whole for sharding."""
  compute = hidden_BTD.dtype
  weights = kernel.astype(compute)
  length = hidden_BTD.shape[1]
  head = (kernel, bias) if gradient else ()
  d_head = jax.tree.map(lambda w: jnp.zeros(w.shape, jnp.float32), head)

  def step(carry, start):
    sums, d_head = carry
    cut = functools.partial(jax.lax.dynamic_slice_in_dim, axis=1)
    x_BCD = cut(hidden_BTD, start, chunk) * jnp.asarray(call.scale, compute)
    targets_BC = cut(targets_BT, start, chunk)
    weights_BC = cut(weights_BT, start, chunk)
    logits = _logits(call, x_BCD, weights, bias)
    new, d_logits = _chunk(call, logits, targets_BC, weights_BC, gradient)
    sums = jax.tree.map(jnp.add, sums, new)
    if not gradient:
      return (sums, d_head), None
    d_logits = d_logits.astype(compute)
    d_x, d_w = _chunk_gradient(call, x_BCD, weights, d_logits)
    d_b = None if bias is None else jnp.sum(d_logits, (0, 1), dtype=jnp.float32)
    return (sums, jax.tree.map(jnp.add, d_head, (d_w, d_b))), d_x

  zero = jnp.zeros((), jnp.float32)
  sums = (zero, {"loss": zero, "z_loss": zero, "correct": zero, "weight": zero})
  starts = jnp.arange(0, length, chunk)
  (sums, d_head), d_x = jax.lax.scan(step, (sums, d_head), starts)
  if not gradient:
    return sums, None, None, None
  # [chunks, B, C, D] -> [B, T, D]
  d_hidden = jnp.moveaxis(d_x, 0, 1).reshape(hidden_BTD.shape)
  return sums, d_hidden, *d_head


def _logits(call, x_BCD, kernel, bias):
  """float32 [B, C, V]."""
  contract = (((2,), (call.embed_axis,)), ((), ()))
  logits = jax.lax.dot_general(
    x_BCD, kernel, contract, preferred_element_type=jnp.float32
  )
  return logits if bias is None else logits + bias


def _chunk(call, logits, targets_BC, weights_BC, gradient):
  """Sums of one chunk and, for the gradient, d objective / d logits."""
  top = jnp.max(logits, axis=-1)
  exp = jnp.exp(logits - top[..., None])
  total = jnp.sum(exp, axis=-1)
  log_z = jnp.log(total) + top
  is_target = (
    jax.lax.broadcasted_iota(jnp.int32, logits.shape, 2) == (targets_BC[..., None])
  )
  target = jnp.sum(jnp.where(is_target, logits, 0.0), axis=-1)
  loss = log_z - target
  if call.smoothing:
    others = jnp.sum(logits, axis=-1) - target
    expected = call.confidence * target + call.low * others
    loss = log_z - expected - call.entropy
  z = call.z_loss * jnp.square(log_z)
  sums = {
    "loss": jnp.sum(loss * weights_BC),
    "z_loss": jnp.sum(z * weights_BC),
    # An argmax would be another pass over the logits; ties count as correct.
    "correct": jnp.sum((target >= top) * weights_BC),
    "weight": jnp.sum(weights_BC),
  }
  objective = sums["loss"] + sums["z_loss"]
  if not gradient:
    return (objective, sums), None
  factor = weights_BC * (1.0 + 2.0 * call.z_loss * log_z)
  d_logits = exp * (factor / total)[..., None]
  on, off = call.confidence, call.low if call.smoothing else 0.0
  wanted = jnp.where(is_target, on, off)
  d_logits = d_logits - wanted * weights_BC[..., None]
  return (objective, sums), d_logits


def _chunk_gradient(call, x_BCD, kernel, d_logits):
  """d objective / d hidden of the chunk, and its share of d objective / d kernel."""
  vocab_axis = 1 - call.embed_axis
  d_x = jax.lax.dot_general(d_logits, kernel, (((2,), (vocab_axis,)), ((), ())))
  d_x = d_x * jnp.asarray(call.scale, d_x.dtype)
  # Two dimensions: XLA then folds the transpose into the product (see dense.py).
  flat = [a.reshape(-1, a.shape[-1]) for a in (x_BCD, d_logits)]
  pair = flat if call.embed_axis == 0 else flat[::-1]
  contract = (((0,), (0,)), ((), ()))
  d_w = jax.lax.dot_general(*pair, contract, preferred_element_type=jnp.float32)
  return d_x, d_w


def _divisor(number: int, limit: int) -> int:
  """The largest divisor of `number` that is at most `limit`."""
  return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)
