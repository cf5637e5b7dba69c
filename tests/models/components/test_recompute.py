"""What the backward pass recomputes: the same gradients, the products that were said."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from models.components import recompute
from models.components.execution import NAMES, Execution
from models.components.model import Pass
from models.components.param import bind, declarations, nested
from models.zoo import ZOO

FAST_COMPILE = {"xla_backend_optimization_level": 0}
MODELS = ("t5_1_1/tiny", "llama2/tiny", "mixtral/tiny")
KEPT = ("query", "key", "value")
# Of the largest value. Float32, where a value computed again may round otherwise.
CLOSE = 1e-5


DEEP = "eight layers of llama2/tiny"


@functools.cache
def model(name: str):
  spec = ZOO[name.removeprefix("eight layers of ")].spec()
  if name == DEEP:
    decoder = dataclasses.replace(spec.decoder, blocks=spec.decoder.blocks[:1] * 8)
    spec = dataclasses.replace(spec, decoder=decoder)
  rng = np.random.default_rng(0)
  params = nested(
    {
      path: np.float32(0.15 * rng.standard_normal(d.shape))
      for path, d in declarations(spec).items()
    }
  )
  return spec.build(), params


def batch(rows: int, tokens: int) -> dict[str, np.ndarray]:
  ids = np.random.default_rng(1).integers(1, 90, (rows, tokens)).astype(np.int32)
  places = np.tile(np.arange(tokens, dtype=np.int32), (rows, 1))
  sides = ("encoder", "decoder")
  return {f"{side}_input_tokens": ids for side in sides} | {
    f"{side}_{what}": values
    for side in sides
    for what, values in (("segment_ids", np.ones_like(ids)), ("positions", places))
  }


def gradient(name: str, execution: Execution):
  """(params, batch) -> gradients of a loss in which every feature counts."""

  def loss(params, data):
    hidden, _ = bind(model(name)[0], params)(data, Pass(execution=execution))
    return jnp.mean(jnp.square(hidden) + hidden)

  return jax.grad(loss)


@functools.cache
def gradients(name: str, remat, offload: tuple = ()) -> dict:
  step = gradient(name, Execution(remat=remat, offload=offload))
  return jax.jit(step, compiler_options=FAST_COMPILE)(model(name)[1], batch(2, 16))


@pytest.mark.parametrize(
  ("name", "remat"), [*((name, "minimal") for name in MODELS), ("llama2/tiny", KEPT)]
)
def test_recomputing_changes_no_gradient(name, remat):
  plain, other = gradients(name, "none"), gradients(name, remat)
  for one, two in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
    np.testing.assert_allclose(one, two, atol=CLOSE * np.abs(one).max())


def products(name: str, remat, kernel: str) -> int:
  """Matrix products of a training step, forward and backward."""
  execution = Execution(remat=remat, attention=kernel, scan=False)
  traced = jax.make_jaxpr(gradient(name, execution))(model(name)[1], batch(2, 16))
  return _products(traced.jaxpr)


def _products(jaxpr) -> int:
  count = 0
  for equation in jaxpr.eqns:
    count += equation.primitive.name.startswith(("dot_general", "ragged_dot"))
    times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
    for inner in core.jaxprs_in_params(equation.params):
      count += times * _products(inner)
  return count


# Of a layer: `query`, `key`, `value`, `out`, `gate`, `up`, `down`, and attention's two.
# The last product of a block is never needed again, nor is what attention mixes once it
# is kept; einsum then needs its scores, which `rows` computes again in any case.
@pytest.mark.parametrize(
  ("remat", "kernel", "again"),
  [
    ("minimal", "rows", 0),
    ("minimal", "einsum", 1),
    ("dots", "einsum", 2),
    (KEPT, "einsum", 5),
    (tuple(set(NAMES) - {"gate", "up"}), "einsum", 3),
    ("full", "einsum", 8),
    (("residual",), "einsum", 8),
  ],
)
def test_products_that_are_computed_again(remat, kernel, again):
  name = "llama2/tiny"
  layers = len(ZOO[name].spec().decoder.blocks)
  extra = products(name, remat, kernel) - products(name, "none", kernel)
  assert extra == again * layers


def test_minimal_keeps_the_products_of_experts_and_the_scores_of_their_router():
  name = "mixtral/tiny"
  plain, minimal, dots = (
    products(name, r, "rows") for r in ("none", "minimal", "dots")
  )
  assert plain == minimal < dots


def test_less_is_kept_the_more_is_recomputed():
  """Bytes that a compiled step needs beside its arguments; rows long enough that the
  values of eight layers outweigh one layer's own."""

  def temporary(remat) -> int:
    step = gradient(DEEP, Execution(remat=remat))
    lowered = jax.jit(step).lower(model(DEEP)[1], batch(4, 256))
    compiled = lowered.compile(compiler_options=FAST_COMPILE)
    return compiled.memory_analysis().temp_size_in_bytes

  full, minimal, none = (temporary(remat) for remat in ("full", "minimal", "none"))
  assert full < minimal < none


def test_unknown_names_are_answered_with_the_known_ones():
  with pytest.raises(
    ValueError, match="'querry', 'wo', which no block has. Known: res"
  ):
    Execution(remat=["query", "querry", "wo"])
  with pytest.raises(ValueError, match="'half' is unknown; use one of none, .*router"):
    Execution(remat="half")
  assert hash(Execution(remat=["query"])) == hash(Execution(remat=("query",)))


OFFLOADED = ("residual", "gate")


def test_offloading_changes_no_gradient():
  name = "llama2/tiny"
  plain, moved = gradients(name, "minimal"), gradients(name, "minimal", OFFLOADED)
  for one, two in zip(jax.tree.leaves(plain), jax.tree.leaves(moved), strict=True):
    np.testing.assert_allclose(one, two, atol=CLOSE * np.abs(one).max())


@pytest.mark.parametrize("scan", [True, False])
def test_what_is_offloaded_goes_to_the_host_and_comes_back(scan):
  """In the program for a GPU, which is only lowered; on a CPU both are one memory."""
  execution = Execution(remat="full", offload=OFFLOADED, scan=scan, attention="einsum")
  traced = jax.jit(gradient("llama2/tiny", execution)).trace(
    model("llama2/tiny")[1], batch(2, 16)
  )
  text = traced.lower(lowering_platforms=("cuda",)).as_text()
  layers = 1 if scan else len(ZOO["llama2/tiny"].spec().decoder.blocks)
  for memory in ("pinned_host", "device"):
    assert text.count(f'_xla_buffer_placement = "{memory}"') == len(OFFLOADED) * layers


def test_offloading_is_refused_where_it_would_do_nothing():
  with pytest.raises(ValueError, match="with Execution.remat='none' names decide noth"):
    Execution(offload=("residual",))
  with pytest.raises(ValueError, match="offload names 'residua'.*residual.*optimizer"):
    Execution(offload=("residua",), remat="full")


def test_offloading_is_refused_without_memory_on_the_host(monkeypatch):
  class Device:
    device_kind = platform = "toaster"

    def addressable_memories(self) -> list:
      return [type("Memory", (), {"kind": "device"})]

  monkeypatch.setattr(jax, "devices", lambda: [Device()])
  execution = Execution(offload=("residual",), remat="full")
  with pytest.raises(ValueError, match="'pinned_host', and toaster .* has device"):
    recompute.rematerialized(lambda x, layer: (x, None), execution, scanned=True)
