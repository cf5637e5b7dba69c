"""Optimizers against PyTorch and against float64 brute force written from the papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5x_like import optim, schedules

STEPS = 20
AXES = {"a/kernel": ("embed", "mlp"), "norm/scale": ("embed",)}
SHAPES = {"a/kernel": (6, 10), "norm/scale": (6,)}


def start(shapes, seed=0):
  random = np.random.default_rng(seed)
  params = {k: random.normal(size=v).astype(np.float32) for k, v in shapes.items()}
  grads = [
    {k: random.normal(size=v).astype(np.float32) for k, v in shapes.items()}
    for _ in range(STEPS)
  ]
  return params, grads


def nest(flat):
  tree = {}
  for path, leaf in flat.items():
    node, *rest = path.split("/")
    tree.setdefault(node, {})["/".join(rest)] = leaf
  return tree


def ours(optimizer, params, grads, axes=AXES):
  transform = optimizer.build(axes)
  tree = jax.tree.map(jnp.asarray, nest(params))
  state = transform.init(tree)
  update = jax.jit(transform.update)
  for grad in grads:
    updates, state = update(nest(grad), state, tree)
    tree = jax.tree.map(jnp.add, tree, updates)
  return {
    f"{n}/{k}": np.asarray(v) for n, part in tree.items() for k, v in part.items()
  }


def with_torch(make, params, grads):
  torch = pytest.importorskip("torch")
  tensors = {k: torch.nn.Parameter(torch.tensor(v)) for k, v in params.items()}
  optimizer = make(torch, tensors)
  for grad in grads:
    for name, tensor in tensors.items():
      tensor.grad = torch.tensor(grad[name])
    optimizer.step()
  return {k: v.detach().numpy() for k, v in tensors.items()}


def compare(found, wanted, rtol=1e-5):
  # 20 float32 updates: a few units in the last place each.
  for name in wanted:
    np.testing.assert_allclose(found[name], wanted[name], rtol=rtol, atol=2e-6)


def groups(tensors, decay):
  return [
    {"params": [tensors["a/kernel"]], "weight_decay": decay},
    {"params": [tensors["norm/scale"]], "weight_decay": 0.0},
  ]


def test_adamw_is_torchs_with_decay_on_kernels_only():
  params, grads = start(SHAPES)
  found = ours(optim.AdamW(learning_rate=1e-2, weight_decay=0.1), params, grads)
  make = lambda torch, t: torch.optim.AdamW(groups(t, 0.1), lr=1e-2)
  compare(found, with_torch(make, params, grads))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_torchs(nesterov):
  params, grads = start(SHAPES)
  sgd = optim.SGD(learning_rate=0.1, momentum=0.9, nesterov=nesterov)
  make = lambda torch, t: torch.optim.SGD(
    t.values(), lr=0.1, momentum=0.9, nesterov=nesterov
  )
  compare(ours(sgd, params, grads), with_torch(make, params, grads))


def test_adagrad_by_its_formula():
  params, grads = start(SHAPES)
  wanted = {}
  for name, p in params.items():
    p, total = p.astype(np.float64), 0.1
    for grad in grads:
      g = grad[name].astype(np.float64)
      total = total + g**2
      p = p - 0.1 * g / np.sqrt(total + 1e-7)
    wanted[name] = p
  compare(ours(optim.Adagrad(learning_rate=0.1), params, grads), wanted)


def test_lion_by_algorithm_2_of_its_paper():
  params, grads = start(SHAPES)
  wanted = {}
  for name, p in params.items():
    p, m = p.astype(np.float64), 0.0
    decay = 0.1 if name.endswith("kernel") else 0.0
    for grad in grads:
      g = grad[name].astype(np.float64)
      p = p - 1e-2 * (np.sign(0.9 * m + 0.1 * g) + decay * p)
      m = 0.99 * m + 0.01 * g
    wanted[name] = p
  compare(ours(optim.Lion(learning_rate=1e-2, weight_decay=0.1), params, grads), wanted)


def test_muon_orthogonalizes_each_layer_and_leaves_the_rest_to_adamw():
  shapes = {"a/kernel": (2, 8, 3, 4), "norm/scale": (8,), "head/kernel": (8, 5)}
  axes = {
    "a/kernel": ("layers", "embed", "heads", "kv"),
    "norm/scale": ("embed",),
    "head/kernel": ("embed", "vocab"),
  }
  params, grads = start(shapes)
  muon = optim.Muon(learning_rate=1e-2)
  found = ours(muon, params, grads, axes)
  for name in ("norm/scale", "head/kernel"):
    wanted = nesterov_adam(params[name], [g[name] for g in grads])
    np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=2e-6)
  layers = []
  for layer in range(2):
    p, m = params["a/kernel"][layer].reshape(8, 12).astype(np.float64), 0.0
    for count, grad in enumerate(grads, start=1):
      g = grad["a/kernel"][layer].reshape(8, 12).astype(np.float64)
      m = 0.95 * m + 0.05 * g
      # optax corrects the bias of both terms of the Nesterov sum.
      ahead = 0.95 * m / (1 - 0.95 ** (count + 1)) + 0.05 * g / (1 - 0.95**count)
      p = p - 1e-2 * 0.2 * np.sqrt(12) * newton_schulz(ahead)
    layers.append(p.reshape(8, 3, 4))
  np.testing.assert_allclose(found["a/kernel"], np.stack(layers), rtol=1e-4, atol=1e-5)


def nesterov_adam(param, grads):
  """NAdam (Dozat 2016) with a constant momentum, float64."""
  p, m, v = param.astype(np.float64), 0.0, 0.0
  for t, g in enumerate(grads, start=1):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g.astype(np.float64) ** 2
    ahead = 0.9 * m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
    p = p - 1e-2 * ahead / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
  return p


def newton_schulz(x):
  """Five iterations of Jordan et al.'s quintic, float64."""
  x = x / np.linalg.norm(x)
  a, b, c = 3.4445, -4.7750, 2.0315
  for _ in range(5):
    s = x @ x.T
    x = a * x + (b * s + c * s @ s) @ x
  return x


def test_adafactor_decay_is_t5xs():
  # beta2(t) = 1 - (t + 1)^-0.8
  for t, beta in [(0, 0), (1, 0.4256508225), (9, 0.8415106808), (999, 0.9960189283)]:
    assert abs(1 - (t + 1) ** -0.8 - beta) < 1e-9


def brute_adafactor(param, grads, *, factored, rate, beta1=None, offset=0):
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
    y = y / max(1.0, np.sqrt((y**2).mean()))
    u = rate * max(np.sqrt((p**2).mean()), 1e-3) * y
    if beta1 is not None:
      u = m = beta1 * m + (1 - beta1) * u
    p = p - u
  return p


@pytest.mark.parametrize("beta1", [None, 0.9])
@pytest.mark.parametrize("smallest", [4, 128])
def test_adafactor_by_its_algorithm(beta1, smallest):
  params, grads = start(SHAPES)
  adafactor = optim.Adafactor(
    learning_rate=0.1, beta1=beta1, min_dim_size_to_factor=smallest
  )
  found = ours(adafactor, params, grads)
  for name in SHAPES:
    wanted = brute_adafactor(
      params[name],
      [g[name] for g in grads],
      factored=name == "a/kernel" and smallest == 4,
      rate=0.1,
      beta1=beta1,
    )
    np.testing.assert_allclose(found[name], wanted, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
  ("axes", "shape", "flat"),
  [
    (("embed", "heads", "kv"), (8, 3, 4), (8, 12)),
    (("heads", "kv", "embed"), (3, 4, 8), (12, 8)),
  ],
)
def test_adafactor_sees_heads_and_features_as_one_axis_as_in_t5x(axes, shape, flat):
  params, grads = start({"a/kernel": shape})
  adafactor = optim.Adafactor(learning_rate=0.1, min_dim_size_to_factor=4)
  found = ours(adafactor, params, grads, {"a/kernel": axes})["a/kernel"]
  joined = [{"a/kernel": g["a/kernel"].reshape(flat)} for g in grads]
  wanted = ours(
    adafactor,
    {"a/kernel": params["a/kernel"].reshape(flat)},
    joined,
    {"a/kernel": ("embed", "mlp")},
  )["a/kernel"]
  np.testing.assert_allclose(found.reshape(flat), wanted, rtol=1e-5, atol=1e-7)


def test_adafactor_updates_stacked_layers_as_if_they_were_apart():
  params, grads = start({"a/kernel": (3, 8, 12)})
  adafactor = optim.Adafactor(learning_rate=0.1, min_dim_size_to_factor=4)
  found = ours(adafactor, params, grads, {"a/kernel": ("layers", "embed", "mlp")})
  for layer in range(3):
    wanted = brute_adafactor(
      params["a/kernel"][layer],
      [g["a/kernel"][layer] for g in grads],
      factored=True,
      rate=0.1,
    )
    np.testing.assert_allclose(found["a/kernel"][layer], wanted, rtol=2e-5, atol=1e-6)


def test_adafactor_parameter_scale_is_the_rms_of_the_parameter():
  # |g| constant, p = 2, lr 0.1: the update is 0.2 with the scale, 0.1 without.
  params = {"a/kernel": np.full((6, 10), 2.0, np.float32)}
  grads = [{"a/kernel": np.ones((6, 10), np.float32)}]
  for scale, moved in [(True, 0.2), (False, 0.1)]:
    adafactor = optim.Adafactor(learning_rate=0.1, multiply_by_parameter_scale=scale)
    found = ours(adafactor, params, grads)["a/kernel"]
    np.testing.assert_allclose(found, 2.0 - moved, rtol=1e-6)


def test_adafactor_refuses_axes_it_cannot_tell_apart():
  adafactor = optim.Adafactor(learning_rate=0.1)
  axes = {"a/kernel": ("embed", "mlp", "vocab")}
  with pytest.raises(ValueError, match="cannot tell rows from columns in a/kernel"):
    adafactor.build(axes).init({"a": {"kernel": jnp.zeros((4, 4, 4))}})


def test_clipping_scales_to_the_limit_and_only_above_it():
  grads = {"x": jnp.array([3.0, 4.0])}
  np.testing.assert_allclose(
    optim.clip_by_global_norm(grads, jnp.float32(5.0), 1.0)["x"], [0.6, 0.8]
  )
  same = optim.clip_by_global_norm(grads, jnp.float32(5.0), 6.0)["x"]
  np.testing.assert_allclose(same, [3.0, 4.0])


def test_a_number_is_a_constant_schedule():
  assert optim.SGD(learning_rate=0.5).learning_rate == schedules.Constant(value=0.5)
