"""Optimizers against PyTorch and against float64 brute force written from the papers."""

import dataclasses

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


KERNELS = {
  # name -> shape, logical axes, shape of one layer's matrix
  "a/kernel": ((2, 8, 3, 4), ("layers", "embed", "heads", "kv"), (8, 12)),
  "b/kernel": ((2, 3, 4, 8), ("layers", "heads", "kv", "embed"), (12, 8)),
}


def with_muon(muon):
  """Parameters after STEPS of `muon`: two stacked kernels, and what is not Muon's."""
  shapes = {name: shape for name, (shape, _, _) in KERNELS.items()}
  shapes |= {"norm/scale": (8,), "head/kernel": (8, 5)}
  axes = {name: axes for name, (_, axes, _) in KERNELS.items()}
  axes |= {"norm/scale": ("embed",), "head/kernel": ("embed", "vocab")}
  params, grads = start(shapes)
  return params, grads, ours(muon, params, grads, axes)


def test_muon_leaves_all_but_the_kernels_of_stacks_to_adamw():
  muon = optim.Muon(learning_rate=1e-2, weight_decay=0.1)
  params, grads, found = with_muon(muon)
  adamw = optim.AdamW(learning_rate=1e-2, weight_decay=0.1)
  wanted = ours(adamw, params, grads)
  for name in ("norm/scale", "head/kernel"):
    np.testing.assert_allclose(found[name], wanted[name], rtol=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("name", KERNELS)
def test_muon_orthogonalizes_the_momentum_of_each_layer(name, nesterov):
  muon = optim.Muon(learning_rate=1e-2, weight_decay=0.1, nesterov=nesterov)
  params, grads, found = with_muon(muon)
  rows, columns = KERNELS[name][2]
  for layer in range(2):
    p, m = params[name][layer].reshape(rows, columns).astype(np.float64), 0.0
    for grad in grads:
      g = grad[name][layer].reshape(rows, columns).astype(np.float64)
      m = 0.95 * m + 0.05 * g
      ahead = 0.95 * m + 0.05 * g if nesterov else m
      # 0.2 * sqrt(12): the larger side.
      p = p - 1e-2 * (0.2 * np.sqrt(12) * newton_schulz(ahead) + 0.1 * p)
    # Five quintic steps amplify the rounding of float32 some ten times, twenty times.
    actual = found[name][layer].reshape(rows, columns)
    np.testing.assert_allclose(actual, p, rtol=1e-4, atol=1e-5)


def newton_schulz(x):
  """Five iterations of Jordan et al.'s quintic, float64."""
  x = x / np.linalg.norm(x)
  a, b, c = 3.4445, -4.7750, 2.0315
  for _ in range(5):
    s = x @ x.T
    x = a * x + (b * s + c * s @ s) @ x
  return x


def test_muon_is_torchs():
  torch = pytest.importorskip("torch")
  params, grads, found = with_muon(optim.Muon(learning_rate=1e-2, weight_decay=0.1))
  for name, (_, _, matrix) in KERNELS.items():
    for layer in range(2):
      tensor = torch.nn.Parameter(torch.tensor(params[name][layer].reshape(matrix)))
      optimizer = torch.optim.Muon(
        [tensor], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
      )
      for grad in grads:
        tensor.grad = torch.tensor(grad[name][layer].reshape(matrix))
        optimizer.step()
      actual = found[name][layer].reshape(matrix)
      # PyTorch iterates in bfloat16: 20 updates of 0.002, each right to 2 %.
      np.testing.assert_allclose(actual, tensor.detach().numpy(), atol=1e-3)


def test_a_gradient_of_zero_moves_nothing_in_muon():
  muon = optim.Muon(learning_rate=1e-2)
  params = {"a/kernel": np.ones((1, 4, 6), np.float32)}
  zeros = [{"a/kernel": np.zeros((1, 4, 6), np.float32)}]
  axes = {"a/kernel": ("layers", "embed", "mlp")}
  np.testing.assert_array_equal(ours(muon, params, zeros, axes)["a/kernel"], 1.0)


def test_clipping_scales_to_the_limit_and_only_above_it():
  grads = {"x": jnp.array([3.0, 4.0])}
  np.testing.assert_allclose(
    optim.clip_by_global_norm(grads, jnp.float32(5.0), 1.0)["x"], [0.6, 0.8]
  )
  same = optim.clip_by_global_norm(grads, jnp.float32(5.0), 6.0)["x"]
  np.testing.assert_allclose(same, [3.0, 4.0])


def test_a_number_is_a_constant_schedule():
  assert optim.SGD(learning_rate=0.5).learning_rate == schedules.Constant(value=0.5)


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: optim.AdamW(learning_rate="3e-4"), "AdamW.learning_rate='3e-4' must be a"),
    (lambda: optim.AdamW(learning_rate=1.0, beta2=1.0), "AdamW.beta2=1.0 must be at"),
    (
      lambda: optim.Lion(learning_rate=1.0, weight_decay=-1),
      "Lion.weight_decay=-1 mus",
    ),
    (lambda: optim.SGD(learning_rate=1.0, clip=0), "SGD.clip=0 must be positive"),
    (lambda: optim.SGD(learning_rate=1.0, nesterov=True), "needs a momentum"),
  ],
)
def test_hyper_parameters_that_cannot_be_are_errors(make, message):
  with pytest.raises(ValueError, match=message):
    make()


OPTIMIZERS = {
  "AdamW": optim.AdamW(learning_rate=0.1),
  "Adafactor": optim.Adafactor(learning_rate=0.1),
  "SGD": optim.SGD(learning_rate=0.1, momentum=0.9),
  "Adagrad": optim.Adagrad(learning_rate=0.1),
  "Lion": optim.Lion(learning_rate=0.1),
  "Muon": optim.Muon(learning_rate=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_counts_its_updates(optimizer):
  transform = optimizer.build(AXES)
  tree = nest({name: jnp.ones(shape) for name, shape in SHAPES.items()})
  state = transform.init(tree)
  for count in range(3):
    assert int(optim.updates_done(state)) == count
    _, state = transform.update(tree, state, tree)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_first_update_has_the_schedules_first_rate(optimizer):
  # A schedule that is zero at step 0 alone: nothing may move then, all must later.
  warmup = schedules.Linear(peak=0.1, steps=100, warmup=1)
  slow = dataclasses.replace(optimizer, learning_rate=warmup)
  params, grads = start(SHAPES)
  first = ours(slow, params, grads[:1])
  second = ours(slow, params, grads[:2])
  for name in SHAPES:
    np.testing.assert_array_equal(first[name], params[name])
    assert not np.array_equal(second[name], params[name])


@pytest.mark.parametrize("name", ["AdamW", "Adafactor", "Lion", "Muon"])
def test_weight_decay_leaves_scales_and_biases_alone(name):
  params, grads = start(SHAPES)
  ends = [
    ours(dataclasses.replace(OPTIMIZERS[name], weight_decay=decay), params, grads[:3])
    for decay in (0.0, 0.1)
  ]
  np.testing.assert_array_equal(ends[0]["norm/scale"], ends[1]["norm/scale"])
  assert not np.allclose(ends[0]["a/kernel"], ends[1]["a/kernel"])
