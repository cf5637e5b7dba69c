"""Splash attention on four simulated devices, beside the definition on one.

In a process of its own: the number of devices is fixed when JAX starts."""

import pytest
from child import printed

PROGRAM = """
import functools, json
import jax
import jax.numpy as jnp
import numpy as np
from models.components import attend
from models.components.attend_splash import Split, splash_kernel, splash_refuses
from models.components.mask import Causal, Sight
from partitioning.mesh import Mesh

B, T, N, H = 2, 128, 4, 8
random = np.random.default_rng(0)
draw = lambda heads: jnp.asarray(random.normal(size=(B, T, heads, H)), jnp.float32)
at = jnp.tile(jnp.arange(T), (B, 1))
part = jnp.int32(at >= 70) + 1
seen = Sight(query_BT=at, key_BS=at, query_segments_BT=part, key_segments_BS=part)
SPLIT = Split(mesh=Mesh(data=2, tensor=2).build(), rows=("data",), heads=("tensor",))

def gradients(kernel, split, q, k, v):
  call = attend.Attend(mask=Causal(), scale=0.4, aligned=True, split=split)
  def loss(q, k, v):
    out = kernel(call, q, k, v, seen, None, None)
    return jnp.sum(jnp.sin(out)), out
  run = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))
  return run(q, k, v)

out = {}
for heads in (1, 2):
  arrays = draw(N), draw(heads), draw(heads)
  ours = gradients(functools.partial(splash_kernel, interpret=True), SPLIT, *arrays)
  plain = gradients(attend._einsum, None, *arrays)
  pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True)
  out[f"{heads} heads of keys"] = max(float(jnp.abs(a - b).max()) for a, b in pairs)
  out["split"] = len({str(s.index) for s in ours[1].addressable_shards})
three = attend.Attend(mask=Causal(), scale=1.0, aligned=True, split=SPLIT)
out["refused"] = splash_refuses(three, (B, T, 6, 64), (B, T, 3, 64), None)
unknown = attend.Attend(mask=Causal(), scale=1.0, aligned=True)
out["unknown"] = splash_refuses(unknown, (B, T, N, 64), (B, T, N, 64), None)
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def found(root) -> dict:
  return printed(root, PROGRAM, devices=4)


@pytest.mark.parametrize("heads", [1, 2])
def test_rows_and_heads_on_four_devices_compute_what_one_does(found, heads):
  # Values and gradients of about 1 in float32, summed in another order.
  assert found[f"{heads} heads of keys"] < 2e-5
  assert found["split"] == 4  # a quarter of the output on each device


def test_splash_is_refused_where_devices_would_need_parts_of_a_head(found):
  assert found["refused"] == "6 heads, 3 of keys, do not divide over 2 devices"
  assert found["unknown"] == "how rows and heads lie on 4 devices is not known here"
