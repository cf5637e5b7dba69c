"""Eight simulated devices, in one process for all checks: their number is fixed when JAX
starts. Optimizer state is split, computes the same, and is saved and read elsewhere."""

import pytest
from child import printed

OPTIMIZERS = ["AdamW", "Adafactor", "SGD", "Adagrad", "Lion", "Muon"]

PROGRAM = """
import json, sys, tempfile
import jax
import jax.numpy as jnp
import numpy as np
from models.components.param import flatten, nested
from partitioning import place
from partitioning.mesh import Mesh
from partitioning.rules import PRESETS
from t5x_like import optim
from t5x_like.checkpoint import Checkpointer

RULES = PRESETS["fsdp_tensor"]
OPTIONS = {
  "AdamW": {"weight_decay": 0.1},
  "Adafactor": {"beta1": 0.9, "min_dim_size_to_factor": 8},
  "SGD": {"momentum": 0.9}, "Adagrad": {}, "Lion": {}, "Muon": {},
}
PARAMS = {
  "embedder/embedding": (("vocab", "embed"), (24, 16)),
  "stack/attention/kernel": (("layers", "embed", "heads", "kv"), (2, 16, 4, 6)),
  "stack/out/kernel": (("layers", "heads", "kv", "embed"), (2, 4, 6, 16)),
  "stack/norm/scale": (("layers", "embed"), (2, 16)),
}
random = np.random.default_rng(0)
draw = lambda: nested({
  path: random.normal(size=shape).astype(np.float32)
  for path, (_, shape) in PARAMS.items()})
START, GRADS = draw(), [draw() for _ in range(3)]

def shardings(state, mesh):
  return place.state_shardings(PARAMS, state, rules=RULES, mesh=mesh.build())

def train(transform, placed=None):
  # -> (params, opt_state) after all gradients, kept where `placed` says
  put = (lambda tree: tree) if placed is None else (
    lambda tree: jax.device_put(tree, placed[0]))
  params = put(START)
  init = jax.jit(transform.init, out_shardings=placed and placed[1])
  @jax.jit
  def update(params, state, grads):
    updates, state = transform.update(grads, state, params)
    return jax.tree.map(jnp.add, params, updates), state
  step = jax.jit(update, out_shardings=placed)
  state = init(params)
  for grads in GRADS:
    params, state = step(params, state, put(grads))
  return params, state

def spec(leaf):
  return [list(p) if isinstance(p, tuple) else p for p in leaf.sharding.spec]

def check(name):
  optimizer = getattr(optim, name)(learning_rate=0.01, **OPTIONS[name])
  transform = optimizer.build({path: axes for path, (axes, _) in PARAMS.items()})
  abstract = jax.eval_shape(lambda p: (p, transform.init(p)), START)
  here = shardings(abstract, Mesh(data=2, fsdp=2, tensor=2))
  found = train(transform, here)
  alone = train(transform)
  worst = max(
    float(np.max(np.abs(np.asarray(a) - np.asarray(b))))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True))
  specs = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(found[1]):
    specs["/".join(place._key(part) for part in path)] = spec(leaf)
  elsewhere = shardings(abstract, Mesh(data=1, fsdp=4, tensor=2))
  wanted = jax.tree.map(
    lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=s),
    abstract, elsewhere)
  with tempfile.TemporaryDirectory() as folder:
    with Checkpointer(folder) as checkpoints:
      assert checkpoints.save(1, found, data={}, meta={})
    back = Checkpointer(folder).restore(wanted)[0]
  same = jax.tree.structure(back) == jax.tree.structure(found) and all(
    np.asarray(a).tobytes() == np.asarray(b).tobytes() and a.sharding == s
    for a, b, s in zip(
      jax.tree.leaves(back), jax.tree.leaves(found), jax.tree.leaves(elsewhere)))
  return {"worst": worst, "specs": specs, "restored": same}

def activations():
  mesh = Mesh(data=2, fsdp=2, tensor=2).build()
  constrain = place.constrainer(mesh, RULES)
  hidden = jax.jit(lambda x: constrain(x, ("batch", "length", "mlp")))
  stream = jax.jit(lambda x: constrain(x, ("batch", "length", "embed")))
  x = jnp.ones((8, 4, 16))
  return {"hidden": spec(hidden(x)), "stream": spec(stream(x))}

print(json.dumps({name: check(name) for name in OPTIONS} | {"on": activations()}))
"""


@pytest.fixture(scope="module")
def results(root):
  return printed(root, PROGRAM, devices=8)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_split_state_computes_what_one_device_does(results, name):
  # Numbers of about 1 after three updates; sums over eight devices round otherwise.
  assert results[name]["worst"] < 2e-6


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_moment_is_split_like_its_parameter(results, name):
  kernel = "stack/attention/kernel"
  moments = {
    path: spec
    for path, spec in results[name]["specs"].items()
    if path.endswith(kernel) and "row" not in path and "column" not in path
  }
  assert [None, "fsdp", "tensor", None] in moments.values()


def test_statistics_of_adafactor_are_split_like_the_axes_they_keep(results):
  specs = results["Adafactor"]["specs"]
  assert specs["row/stack/attention/kernel"] == [None, "fsdp"]
  assert specs["column/stack/attention/kernel"] == [None, "tensor", None]
  assert specs["row/stack/out/kernel"] == [None, "tensor", None]
  assert specs["column/stack/out/kernel"] == [None, "fsdp"]
  assert specs["full/stack/norm/scale"] == [None, "fsdp"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_checkpoint_comes_back_bit_by_bit_on_another_mesh(results, name):
  assert results[name]["restored"]


def test_activations_are_split_by_rows_and_hidden_units_but_not_along_embed(results):
  assert results["on"]["hidden"] == [["data", "fsdp"], None, "tensor"]
  assert results["on"]["stream"] == [["data", "fsdp"]]
