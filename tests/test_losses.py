"""Losses: worked numbers of T5X, PyTorch's cross-entropy, and gradients.

The chunked loss never stores all logits and computes its own gradient; the plain
formula below does neither.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from t5x_like import losses
from t5x_like.losses import CrossEntropy

SUMS = {"loss", "z_loss", "correct", "weight"}
ROWS, LENGTH, DIM, VOCAB = 64, 24, 8, 50  # three chunks of eight positions


def of_logits(logits, targets, weights=None, **fields):
  """Objective and sums of given logits: hidden states are logits, the kernel is I."""
  logits = jnp.asarray(logits, jnp.float32)
  targets = jnp.asarray(targets)
  weights = jnp.ones(targets.shape) if weights is None else jnp.asarray(weights)
  run = jax.jit(CrossEntropy(**fields))
  return run(logits, jnp.eye(logits.shape[-1]), targets, weights)


def near(x):
  """Equal to the digits that are printed in the specification of T5X's numbers."""
  return pytest.approx(x, abs=5e-8, rel=2e-7)


def test_one_two_three_with_target_two():
  objective, sums = of_logits([[[1, 2, 3]]], [[2]], z_loss=1e-4)
  assert float(sums["loss"]) == near(0.40760596)
  assert float(sums["z_loss"]) == near(1e-4 * 3.40760596**2)
  assert float(objective) == near(0.40876714)
  assert float(sums["correct"]) == 1


def test_one_two_three_with_target_zero():
  _, sums = of_logits([[[1, 2, 3]]], [[0]])
  assert float(sums["loss"]) == near(2.40760596)
  assert float(sums["correct"]) == 0


def test_uniform_logits_over_four():
  _, sums = of_logits(np.zeros((1, 1, 4)), [[1]], z_loss=1e-4)
  assert float(sums["loss"]) == near(1.38629436)
  assert float(sums["z_loss"]) == near(0.00019218)
  _, smoothed = of_logits(np.zeros((1, 1, 4)), [[1]], label_smoothing=0.1)
  assert float(smoothed["loss"]) == near(0.95135016)


def test_uniform_logits_over_a_vocabulary():
  """What an untrained model shows: ln 32128."""
  loss = CrossEntropy(z_loss=1e-3)
  kernel, target = jnp.zeros((1, 32_128)), jnp.full((1, 1), 5)
  _, sums = jax.jit(loss)(jnp.ones((1, 1, 1)), kernel, target, jnp.ones((1, 1)))
  assert float(sums["loss"]) == pytest.approx(10.3774832, abs=1e-6)
  assert float(sums["z_loss"]) == pytest.approx(1e-3 * 10.3774832**2, abs=1e-6)


def test_scores_of_two_sequences():
  logits = np.arange(24.0).reshape(2, 4, 3)
  targets = np.array([[1, 2, 1, 0], [0, 1, 0, 2]])
  weights = np.array([[1, 1, 1, 0], [0, 1, 0, 1]])
  for row, score in enumerate((-3.2228179, -1.8152119)):
    cut = slice(row, row + 1)
    _, sums = of_logits(logits[cut], targets[cut], weights[cut])
    assert float(sums["loss"]) == near(-score)


def test_a_perfect_prediction_of_smoothed_targets_costs_nothing():
  probabilities = np.full((1, 1, 10), 0.1 / 9)
  probabilities[..., 3] = 0.9
  _, sums = of_logits(np.log(probabilities), [[3]], label_smoothing=0.1)
  assert float(sums["loss"]) == pytest.approx(0.0, abs=1e-6)


def test_weights_of_zero_count_nothing():
  logits = np.random.default_rng(0).standard_normal((1, 4, 5))
  targets, weights = [[1, 2, 3, 4]], [[1.0, 0.0, 2.0, 0.0]]
  _, sums = of_logits(logits, targets, weights)
  one, three = (
    of_logits(logits[:, i : i + 1], [[targets[0][i]]])[1]["loss"] for i in (0, 2)
  )
  assert float(sums["loss"]) == pytest.approx(float(one + 2 * three), rel=1e-6)
  assert float(sums["weight"]) == 3


@functools.cache
def example():
  """(hidden, kernel [D, V], targets, weights) with large logits and ragged weights."""
  rng = np.random.default_rng(0)
  hidden = 2 * rng.standard_normal((ROWS, LENGTH, DIM), np.float32)
  kernel = rng.standard_normal((DIM, VOCAB), np.float32)
  targets = rng.integers(0, VOCAB, (ROWS, LENGTH))
  weights = np.float32(rng.random((ROWS, LENGTH)) * (rng.random((ROWS, LENGTH)) > 0.3))
  return hidden, kernel, targets, weights


def plain(loss, hidden, kernel, targets, weights, scale):
  """T5X's compute_weighted_cross_entropy, from all logits at once."""
  logits = scale * jnp.einsum("btd,dv->btv", hidden, kernel)
  low = loss.label_smoothing / (VOCAB - 1)
  wanted = jnp.where(jax.nn.one_hot(targets, VOCAB) > 0, 1 - loss.label_smoothing, low)
  log_z = jax.nn.logsumexp(logits, axis=-1)
  entropy = -jnp.sum(jnp.where(wanted > 0, wanted * jnp.log(wanted + 1e-20), 0), -1)
  nats = -jnp.sum(wanted * (logits - log_z[..., None]), axis=-1) - entropy
  return jnp.sum(weights * (nats + loss.z_loss * jnp.square(log_z)))


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("embed_axis", [0, 1])
@pytest.mark.parametrize(
  "loss",
  [
    CrossEntropy(),
    CrossEntropy(z_loss=1e-2),
    CrossEntropy(label_smoothing=0.1),
    CrossEntropy(z_loss=1e-2, label_smoothing=0.1),
  ],
)
def test_value_and_gradients_equal_those_of_the_plain_formula(loss, embed_axis, shards):
  hidden, kernel, targets, weights = example()
  scale = 0.7

  def chunked(hidden, kernel):
    kernel = kernel.T if embed_axis else kernel
    objective, _ = loss(
      hidden,
      kernel,
      targets,
      weights,
      embed_axis=embed_axis,
      scale=scale,
      batch_shards=shards,
    )
    return 3.0 * objective  # the cotangent must be passed on

  def whole(hidden, kernel):
    return 3.0 * plain(loss, hidden, kernel, targets, weights, scale)

  both = (
    jax.jit(jax.value_and_grad(f, argnums=(0, 1)))(hidden, kernel)
    for f in (chunked, whole)
  )
  (value, grads), (expected, expected_grads) = both
  assert float(value) == pytest.approx(float(expected), rel=1e-6)
  for grad, other in zip(grads, expected_grads, strict=True):
    # float32 sums over 1536 tokens, in chunks and at once.
    np.testing.assert_allclose(grad, other, atol=2e-6 * np.abs(other).max())


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_loss_equals_that_of_pytorch(label_smoothing):
  hidden, kernel, targets, weights = example()
  logits = torch.tensor(hidden.astype(np.float64) @ kernel)
  # PyTorch spreads the smoothed mass over all ids, T5X over all but the target.
  theirs = torch.nn.functional.cross_entropy(
    logits.flatten(0, 1),
    torch.tensor(targets).flatten(),
    reduction="none",
    label_smoothing=label_smoothing * VOCAB / (VOCAB - 1),
  )
  expected = float(torch.sum(theirs * torch.tensor(weights).flatten()))
  if label_smoothing:
    on, off = 1 - label_smoothing, label_smoothing / (VOCAB - 1)
    entropy = -(on * np.log(on) + (VOCAB - 1) * off * np.log(off))
    expected -= entropy * weights.sum(dtype=np.float64)
  _, sums = jax.jit(CrossEntropy(label_smoothing=label_smoothing))(*example())
  assert float(sums["loss"]) == pytest.approx(expected, rel=1e-6)


def test_sums_are_those_of_the_logits():
  hidden, kernel, targets, weights = example()
  objective, sums = jax.jit(CrossEntropy(z_loss=1e-3))(*example())
  best = np.argmax(hidden @ kernel, axis=-1)
  assert sums.keys() == SUMS
  assert float(sums["correct"]) == pytest.approx(np.sum(weights * (best == targets)))
  assert float(sums["weight"]) == pytest.approx(weights.sum())
  assert float(objective) == pytest.approx(float(sums["loss"] + sums["z_loss"]))


def test_sums_of_microbatches_add_up():
  run = jax.jit(CrossEntropy(z_loss=1e-3))
  hidden, kernel, targets, weights = example()
  whole = run(*example())
  halves = [
    run(hidden[part], kernel, targets[part], weights[part])
    for part in (slice(0, ROWS // 2), slice(ROWS // 2, ROWS))
  ]
  added = jax.tree.map(lambda a, b: a + b, *halves)
  for one, two in zip(jax.tree.leaves(whole), jax.tree.leaves(added), strict=True):
    assert float(one) == pytest.approx(float(two), rel=1e-6)


def test_gradients_in_half_precision_keep_the_dtypes_of_their_arrays():
  hidden, kernel, targets, weights = example()

  def objective(hidden, kernel):
    return CrossEntropy()(hidden, kernel, targets, weights)[0]

  low = jnp.asarray(hidden, jnp.bfloat16)
  grads = jax.jit(jax.grad(objective, argnums=(0, 1)))(low, kernel)
  exact = jax.jit(jax.grad(objective, argnums=(0, 1)))(hidden, kernel)
  assert [g.dtype for g in grads] == [jnp.bfloat16, jnp.float32]
  for grad, other in zip(grads, exact, strict=True):
    # bfloat16 has eight bits; errors of 1536 tokens partly cancel.
    error = np.abs(np.asarray(grad, np.float32) - other).max()
    assert error < 0.02 * np.abs(other).max()


def test_all_logits_are_never_stored():
  """The largest array of the compiled gradient is a chunk of logits, not all of them."""
  hidden, kernel, targets, weights = example()

  def objective(hidden, kernel):
    return CrossEntropy()(hidden, kernel, targets, weights)[0]

  compiled = (
    jax.jit(jax.grad(objective, argnums=(0, 1))).lower(hidden, kernel).compile()
  )
  every = ROWS * LENGTH * VOCAB * 4
  assert compiled.memory_analysis().temp_size_in_bytes < every
  assert ROWS * LENGTH > losses.CHUNK_TOKENS


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_impossible_smoothing_is_an_error(smoothing):
  with pytest.raises(ValueError, match=r"label_smoothing=.* must lie in \[0, 1\)"):
    CrossEntropy(label_smoothing=smoothing)


@pytest.mark.parametrize("embed_axis", [0, 1])
def test_a_bias_on_the_vocabulary_and_its_gradient_equal_pytorch(embed_axis):
  rng = np.random.default_rng(5)
  hidden = rng.standard_normal((2, 6, DIM), np.float32)
  kernel = rng.standard_normal((DIM, VOCAB), np.float32)
  bias = rng.standard_normal(VOCAB, np.float32)
  targets = rng.integers(0, VOCAB, (2, 6))

  def loss(kernel, bias):
    kernel = kernel if embed_axis == 0 else kernel.T
    return CrossEntropy()(
      hidden, kernel, targets, jnp.ones((2, 6)), embed_axis=embed_axis, bias=bias
    )[0]

  value, grads = jax.jit(jax.value_and_grad(loss, (0, 1)))(kernel, bias)
  k, b = (
    torch.tensor(kernel, requires_grad=True),
    torch.tensor(bias, requires_grad=True),
  )
  theirs = torch.nn.functional.cross_entropy(
    (torch.tensor(hidden) @ k + b).flatten(0, 1),
    torch.tensor(targets.ravel()),
    reduction="sum",
  )
  theirs.backward()
  assert float(value) == pytest.approx(theirs.item(), rel=1e-5)
  # Sums of twelve float32 terms in another order.
  np.testing.assert_allclose(grads[0], k.grad.numpy(), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(grads[1], b.grad.numpy(), rtol=1e-4, atol=1e-5)
