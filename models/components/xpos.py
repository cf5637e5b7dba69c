"""xPos: rotary positions whose scores fade with distance.

You are in: models/components. A `Rope` that can stand wherever one does.

Shapes: B batch, T tokens, N heads, H head dim.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from models.components.position import Rope
from models.components.spec import spec


@spec
class XPos(Rope):
  """Queries are scaled by zeta^(n / length), keys at m by zeta^(-m / length), so a score
  by zeta^((n - m) / length) (Sun et al. 2022, arXiv:2212.10554, section 2.2, alg. 1).

  zeta_i = (i / (H/2) + gamma) / (1 + gamma): what turns fastest fades fastest. length:
  positions a factor of zeta is worth. For causal masks: towards the future scores would
  grow. Keys grow with their position: to the end of float32 at 36,000 of them, of
  float16 at 4,500, with the default values.
  """

  gamma: float = 0.4
  length: int = 512

  def __call__(self, x_BTNH: jax.Array, positions_BT: jax.Array) -> jax.Array:
    return self._scaled(x_BTNH, positions_BT, positions_BT / self.length)

  def keys(self, x_BTNH: jax.Array, positions_BT: jax.Array) -> jax.Array:
    return self._scaled(x_BTNH, positions_BT, -positions_BT / self.length)

  def _scaled(
    self, x_BTNH: jax.Array, positions_BT: jax.Array, power_BT: jax.Array
  ) -> jax.Array:
    half = x_BTNH.shape[-1] // 2
    log = np.log((np.arange(half) / half + self.gamma) / (1 + self.gamma))
    factor = jnp.exp(power_BT[..., None, None] * log.astype(np.float32))
    # float32 throughout: turned and scaled, it is rounded once.
    turned = super().__call__(x_BTNH.astype(jnp.float32), positions_BT)
    one, two = self.parts(turned)
    return self.joined(one * factor, two * factor).astype(x_BTNH.dtype)
