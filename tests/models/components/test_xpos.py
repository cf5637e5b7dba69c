"""xPos beside its definition in complex numbers, and while decoding."""

import jax.numpy as jnp
import numpy as np
import pytest

from models.components.attention import Attention
from models.components.context import Context
from models.components.latent import LatentAttention
from models.components.norm import RMSNorm
from models.components.param import bind, declarations, draw
from models.components.position import PartialRope, Rope
from models.components.xpos import XPos

HEAD, FAR = 8, 700
SHORT = XPos(length=4)


def score(q, k, n, m):
  """Eq. 13-15 with dimension i of both halves as the parts of a complex number:
  Re sum_i q_i conj(k_i) exp(i theta_i (n - m)) zeta_i^((n - m) / 512)."""
  total = 0.0
  for i in range(HEAD // 2):
    query, key = complex(q[i], q[i + HEAD // 2]), complex(k[i], k[i + HEAD // 2])
    theta = 10_000 ** (-2 * i / HEAD)
    zeta = (i / (HEAD / 2) + 0.4) / 1.4
    turn = np.exp(1j * theta * (n - m)) * zeta ** ((n - m) / 512)
    total += (query * key.conjugate() * turn).real
  return total


@pytest.mark.parametrize("n,m", [(0, 0), (5, 2), (105, 102), (FAR, 1)])
def test_scores_equal_the_definition(n, m):
  q, k = np.random.default_rng(0).standard_normal((2, HEAD), np.float32)
  xpos = XPos()
  turned_q = xpos(jnp.asarray(q)[None, None, None], jnp.array([[n]]))
  turned_k = xpos.keys(jnp.asarray(k)[None, None, None], jnp.array([[m]]))
  # float32 angles of 700 radians keep four digits after the point.
  assert float((turned_q * turned_k).sum()) == pytest.approx(
    score(q, k, n, m), abs=2e-4
  )


def test_without_fading_it_is_rope():
  x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 9, 2, HEAD), np.float32))
  at = jnp.arange(9)[None]
  nearly, plain = XPos(gamma=1e9), Rope()
  for turned in (nearly(x, at), nearly.keys(x, at)):
    np.testing.assert_allclose(turned, plain(x, at), rtol=1e-5, atol=1e-6)


def test_a_part_of_each_head_can_fade():
  x = jnp.ones((1, 3, 1, 12))
  at = jnp.arange(3)[None]
  part = PartialRope(dims=HEAD, rope=SHORT)
  np.testing.assert_array_equal(
    part.keys(x, at)[..., :HEAD], SHORT.keys(x[..., :8], at)
  )
  np.testing.assert_array_equal(part.keys(x, at)[..., HEAD:], 1.0)


LATENT = LatentAttention(
  heads=2, head_dim=4, value_dim=4, rope_dim=4, latent=6, norm=RMSNorm(), position=SHORT
)


@pytest.mark.parametrize(
  "spec",
  [Attention(heads=2, head_dim=HEAD, position=SHORT), LATENT],
  ids=["mha", "mla"],
)
def test_decoding_is_the_whole_token_by_token(spec):
  tokens, dim = 6, 8
  module = spec.build(dim)
  layer = bind(module, draw(declarations(module), seed=0))
  x = np.random.default_rng(1).standard_normal((1, tokens, dim), np.float32)
  segments, at = jnp.ones((1, tokens), jnp.int32), jnp.arange(tokens)[None]
  whole, _ = layer(jnp.asarray(x), Context(segments_BT=segments, positions_BT=at))
  shapes = layer.empty_cache(1, tokens, jnp.float32)
  cache = {name: jnp.zeros(s.shape, s.dtype) for name, s in shapes.items()}
  for t in range(tokens):
    ctx = Context(
      segments_BT=segments[:, :1], positions_BT=at[:, t : t + 1], index_B=jnp.array([t])
    )
    y, cache = layer(jnp.asarray(x[:, t : t + 1]), ctx, cache)
    # Rounding: keys grow with their position and queries shrink.
    np.testing.assert_allclose(y[0, 0], whole[0, t], rtol=1e-4, atol=1e-5)
