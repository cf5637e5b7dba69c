"""The ring and the all-to-all beside the definition, on four simulated devices.

In a process of its own: the number of devices is fixed when JAX starts."""

import pytest
from child import printed

PROGRAM = """
import dataclasses, json, sys
import jax
import jax.numpy as jnp
import numpy as np
from models.components import attend
from models.components.attend_ring import Ring
from models.components.distance_bias import distance_bias
from models.components.mask import Causal, Full, PrefixCausal, Sight, Windowed
from partitioning.mesh import Mesh

B, T, N, K, H = 2, 16, 4, 2, 4
random = np.random.default_rng(0)
draw = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
RING = Ring(mesh=Mesh(data=1, context=4).build(), axis="context")

def sight(keys):
  at = lambda length: jnp.tile(jnp.arange(length), (B, 1))
  part = lambda length: (at(length) >= length * 2 // 3) + jnp.asarray([[1], [2]])
  prefix = (at(T) % 11 < 5).astype(jnp.int32)
  return Sight(query_BT=at(T), key_BS=at(keys), query_segments_BT=part(T),
               key_segments_BS=part(keys), query_prefix_BT=prefix,
               key_prefix_BS=prefix)

CASES = {  # mask, keys, bias, softcap
  "causal": (Causal(), T, None, None),
  "window": (Windowed(window=5), T, None, 3.0),
  "prefix": (PrefixCausal(), T, "whole", None),
  "distances": (Full(), T, "distances", None),
  "causal distances": (Causal(), T, "distances", None),
  "cross": (Full(), 8, None, None),
}

def both(name):
  mask, keys, kind, softcap = CASES[name]
  call = attend.Attend(mask=mask, scale=0.5, aligned=keys == T, softcap=softcap)
  arrays = [draw(B, T, N, H), draw(B, keys, K, H), draw(B, keys, K, H)]
  shapes = {"whole": (1, N, T, keys), "distances": (N, T + keys - 1)}
  arrays += [draw(*shapes[kind])] if kind else []
  weights = draw(B, T, N, H)

  def total(kernel, ring, q, k, v, bias=None):
    if kind == "distances":
      bias = distance_bias(bias, T, keys)
    one = dataclasses.replace(call, ring=ring)
    out = attend.attend(one, q, k, v, sight=sight(keys), bias=bias, kernel=kernel)
    return jnp.sum(out * weights), out

  def found(kernel, ring):
    grad = jax.grad(lambda *x: total(kernel, ring, *x), range(len(arrays)), has_aux=True)
    return jax.tree.leaves(jax.jit(grad)(*arrays))

  expected = found("einsum", None)

  def worst(kernel):
    pairs = zip(found(kernel, RING), expected, strict=True)
    return max(float(jnp.max(jnp.abs(a - b))) for a, b in pairs)

  return {kernel: worst(kernel) for kernel in ("ring", "all_to_all")}

print(json.dumps({name: both(name) for name in CASES}))
"""
NAMES = ("causal", "window", "prefix", "distances", "causal distances", "cross")


@pytest.fixture(scope="module")
def worst(root):
  return printed(root, PROGRAM, devices=4)


@pytest.mark.parametrize("kernel", ["ring", "all_to_all"])
@pytest.mark.parametrize("name", NAMES)
def test_four_devices_compute_what_one_does(worst, name, kernel):
  # Values and gradients of about 1 in float32, summed in another order.
  assert worst[name][kernel] < 2e-5
