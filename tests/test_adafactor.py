"""Adafactor against T5X's published values, transformers, and float64 brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5x_like import optim

STEPS = 20
MATRIX = ("embed", "mlp")


def random_problem(shape, seed=0):
  """A parameter and STEPS gradients of it."""
  random = np.random.default_rng(seed)
  param = random.normal(size=shape).astype(np.float32)
  return param, random.normal(size=(STEPS, *shape)).astype(np.float32)


def optimizer(**options):
  defaults = dict(learning_rate=0.1, min_dim_size_to_factor=4)
  return optim.Adafactor(**(defaults | options))


def step(adafactor, axes, *, param, grad, **statistics):
  """One update from a state with these statistics: (new parameter, new state)."""
  transform = adafactor.build({"x": axes})
  params = {"x": jnp.asarray(param)}
  state = transform.init(params)
  given = {
    name: value if name == "count" else {"x": jnp.asarray(value, jnp.float32)}
    for name, value in statistics.items()
  }
  state = state._replace(**given)
  updates, state = transform.update({"x": jnp.asarray(grad)}, state, params)
  return params["x"] + updates["x"], state


def train(adafactor, axes, param, grads):
  """The parameter after all gradients, through jit."""
  transform = adafactor.build({"a/kernel": axes})
  tree = {"a": {"kernel": jnp.asarray(param)}}
  state = transform.init(tree)
  update = jax.jit(transform.update)
  for grad in grads:
    updates, state = update({"a": {"kernel": grad}}, state, tree)
    tree = jax.tree.map(jnp.add, tree, updates)
  return np.asarray(tree["a"]["kernel"])


def brute(param, grads, *, factored=True, beta1=None, offset=0, decay=0.0, clip=1.0):
  """Algorithm 4 of arXiv:1804.04235 with T5X's order of operations, float64."""
  p = param.astype(np.float64)
  row = column = full = m = 0.0
  for t, grad in enumerate(grads):
    g = grad.astype(np.float64)
    beta = 1 - (max(t - offset, 0) + 1) ** -0.8
    square = g**2 + 1e-30
    if factored:
      row = beta * row + (1 - beta) * square.mean(axis=1)
      column = beta * column + (1 - beta) * square.mean(axis=0)
      y = g / np.sqrt(np.outer(row / row.mean(), column))
    else:
      full = beta * full + (1 - beta) * square
      y = g / np.sqrt(full)
    if clip is not None:
      y = y / max(1.0, np.sqrt((y**2).mean()) / clip)
    u = 0.1 * max(np.sqrt((p**2).mean()), 1e-3) * y
    if beta1 is not None:
      u = m = beta1 * m + (1 - beta1) * u
    p = p * (1 - decay) - u
  return p


def close(found, wanted):
  # 20 updates in float32, each a chain of about ten roundings.
  np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6)


# ---- T5X's own tests: parameter ones (3, 2), learning rate 0.1, second update


def test_the_decay_of_statistics_is_t5xs():
  # From statistics of 0 and gradients of 1, the new statistics are 1 - beta2(t).
  wanted = {
    0: 0.0,
    1: 0.4256508225,
    2: 0.5847563535,
    9: 0.8415106808,
    99: 0.9748811357,
    999: 0.9960189283,
  }
  for t, beta in wanted.items():
    ones = np.ones((3,), np.float32)
    _, state = step(optimizer(), ("embed",), param=ones, grad=ones, count=jnp.int32(t))
    # 1 - beta2 of float32 numbers near 1: half a unit in the last place of 1.
    np.testing.assert_allclose(state.full["x"], 1 - beta, atol=6e-8, rtol=1e-6)


def test_factored_statistics_are_t5xs():
  ones = np.ones((3, 2), np.float32)
  new, state = step(
    optimizer(min_dim_size_to_factor=0),
    MATRIX,
    param=ones,
    grad=ones,
    count=jnp.int32(1),
    row=np.full(3, 0.9),
    column=np.full(2, 0.1),
  )
  np.testing.assert_allclose(state.row["x"], np.full(3, 0.9574349), rtol=1e-6)
  np.testing.assert_allclose(state.column["x"], np.full(2, 0.6169143), rtol=1e-6)
  np.testing.assert_allclose(new, np.full((3, 2), 0.9), rtol=1e-6)


def test_unfactored_statistics_and_momentum_are_t5xs():
  ones = np.ones((3,), np.float32)
  new, state = step(
    optimizer(beta1=0.0),
    ("embed",),
    param=ones,
    grad=ones,
    count=jnp.int32(1),
    full=np.full(3, 0.5),
  )
  np.testing.assert_allclose(state.full["x"], np.full(3, 0.787174), rtol=1e-6)
  np.testing.assert_allclose(state.momentum["x"], np.full(3, 0.1), rtol=1e-6)
  np.testing.assert_allclose(new, np.full(3, 0.9), rtol=1e-6)


def test_clipping_by_the_global_norm_comes_before_as_in_t5x():
  ones = np.ones((3, 2), np.float32)
  norm = jnp.sqrt(6.0)
  clipped = optim.clip_by_global_norm({"x": jnp.asarray(ones)}, norm, 1.0)["x"]
  new, state = step(
    optimizer(min_dim_size_to_factor=0, clip=1.0),
    MATRIX,
    param=ones,
    grad=clipped,
    count=jnp.int32(1),
    row=np.full(3, 0.9),
    column=np.full(2, 0.1),
  )
  np.testing.assert_allclose(state.row["x"], np.full(3, 0.478811), rtol=2e-6)
  np.testing.assert_allclose(state.column["x"], np.full(2, 0.13829), rtol=5e-6)
  np.testing.assert_allclose(new, np.full((3, 2), 0.9), rtol=1e-6)


def test_parameter_scale_is_the_rms_of_the_parameter():
  # |g| constant, p = 2, learning rate 0.1.
  twos, ones = np.full((6, 10), 2.0, np.float32), np.ones((6, 10), np.float32)
  for scale, moved in [(True, 0.2), (False, 0.1)]:
    adafactor = optimizer(multiply_by_parameter_scale=scale)
    new, _ = step(adafactor, MATRIX, param=twos, grad=ones)
    np.testing.assert_allclose(new, 2.0 - moved, rtol=1e-6)


# ---- which axes are factored


@pytest.mark.parametrize(
  ("axes", "shape", "row", "column"),
  [
    (("embed", "mlp"), (8, 12), (8,), (12,)),
    (("layers", "embed", "mlp"), (3, 8, 12), (3, 8), (3, 12)),
    (("embed", "heads", "kv"), (8, 3, 4), (8,), (3, 4)),
    (("layers", "heads", "kv", "embed"), (2, 3, 4, 8), (2, 3, 4), (2, 8)),
    # Not factored: one axis, joined or not; or one that is too small.
    (("layers", "embed"), (8, 12), (1,), (1,)),
    (("layers", "heads", "kv"), (2, 8, 8), (1,), (1,)),
    (("embed", "mlp"), (8, 3), (1,), (1,)),
  ],
)
def test_statistics_have_the_axes_that_are_left(axes, shape, row, column):
  state = optimizer().build({"x": axes}).init({"x": jnp.zeros(shape)})
  assert state.row["x"].shape == row
  assert state.column["x"].shape == column
  assert state.full["x"].shape == (shape if row == (1,) else (1,))
  assert state.momentum["x"].shape == (1,)


def test_heads_and_their_features_count_together_for_the_smallest_size():
  # 3 * 4 = 12, as in T5X's joined kernels, although each of them is below 8.
  adafactor = optimizer(min_dim_size_to_factor=8)
  axes = {"x": ("embed", "heads", "kv")}
  assert adafactor.build(axes).init({"x": jnp.zeros((8, 3, 4))}).row["x"].shape == (8,)


def test_axes_that_cannot_be_told_apart_are_an_error():
  transform = optimizer().build({"a/kernel": ("embed", "mlp", "vocab")})
  with pytest.raises(ValueError, match="cannot tell rows from columns in a/kernel"):
    transform.init({"a": {"kernel": jnp.zeros((4, 4, 4))}})


def test_without_factoring_any_axes_will_do():
  transform = optimizer(factored=False).build({"x": ("embed", "mlp", "vocab")})
  assert transform.init({"x": jnp.zeros((4, 5, 6))}).full["x"].shape == (4, 5, 6)


# ---- twenty updates


@pytest.mark.parametrize(
  ("options", "known"),
  [
    ({}, {}),
    ({"beta1": 0.9}, {"beta1": 0.9}),
    ({"factored": False}, {"factored": False}),
    ({"min_dim_size_to_factor": 128}, {"factored": False}),
    ({"step_offset": 5}, {"offset": 5}),
    ({"weight_decay": 0.01}, {"decay": 0.01}),
    ({"clipping_threshold": 0.5}, {"clip": 0.5}),
    ({"clipping_threshold": None}, {"clip": None}),
  ],
)
def test_updates_follow_the_algorithm(options, known):
  param, grads = random_problem((6, 10))
  found = train(optimizer(**options), MATRIX, param, grads)
  close(found, brute(param, grads, **known))


@pytest.mark.parametrize("shape", [(6, 10), (10,)])
def test_updates_are_those_of_transformers(shape):
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  param, grads = random_problem(shape)
  tensor = torch.nn.Parameter(torch.tensor(param))
  theirs = transformers.Adafactor([tensor], lr=0.1, relative_step=False)
  for grad in grads:
    tensor.grad = torch.tensor(grad)
    theirs.step()
  axes = MATRIX if len(shape) == 2 else ("embed",)
  close(train(optimizer(), axes, param, grads), tensor.detach().numpy())


@pytest.mark.parametrize("beta1", [None, 0.9])
@pytest.mark.parametrize(
  ("axes", "shape", "flat"),
  [
    (("embed", "heads", "kv"), (8, 3, 4), (8, 12)),
    (("heads", "kv", "embed"), (3, 4, 8), (12, 8)),
    (("embed", "kv_heads", "kv"), (8, 2, 4), (8, 8)),
  ],
)
def test_heads_and_features_are_one_axis_as_in_t5x(axes, shape, flat, beta1):
  param, grads = random_problem(shape)
  adafactor = optimizer(beta1=beta1)
  found = train(adafactor, axes, param, grads)
  joined = train(adafactor, MATRIX, param.reshape(flat), grads.reshape(-1, *flat))
  np.testing.assert_allclose(found.reshape(flat), joined, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("factored", [True, False])
def test_stacked_layers_are_updated_as_if_they_were_apart(factored):
  # Layers of very different sizes: their scales and clipping must not mix.
  param, grads = random_problem((3, 8, 12))
  size = np.array([0.01, 1.0, 100.0], np.float32)[:, None, None]
  param, grads = param * size, grads / size
  axes = ("layers", "embed", "mlp")
  found = train(optimizer(factored=factored), axes, param, grads)
  for layer in range(3):
    wanted = brute(param[layer], grads[:, layer], factored=factored)
    np.testing.assert_allclose(
      found[layer] / size[layer], wanted / size[layer], rtol=1e-4, atol=1e-5
    )
