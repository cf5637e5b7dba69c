"""Alike: what the processes of one run must have the same of.

You are in: t5x_like. Upstream: the configuration of each process. Downstream:
partitioning/preflight.py, which has them compare it before they train.
"""

from __future__ import annotations

import jax

from t5x_like import identity
from t5x_like.run import Run
from t5x_like.study import version


def alike(run: Run) -> dict[str, str]:
  """Digests by name. Files may lie elsewhere on every host. Computed where there are
  several processes: it reads all sources."""
  if jax.process_count() == 1:
    return {}
  return {
    "configuration": identity.started(run),
    "code": version.version(),
    "jax": jax.__version__,
  }
