"""Execution: how a model is computed. It never changes parameters or checkpoints.

You are in: models/components. A field here may change speed, memory and rounding; what
is computed belongs to specs, where arrays live belongs to partitioning.
"""

from __future__ import annotations

import dataclasses

DTYPES = ("float32", "bfloat16", "float16")
REMAT = ("none", "full", "dots")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
  """How to run a model.

  compute_dtype: dtype of activations and of weights inside matrix products. Softmax,
    norms, router and loss are float32 whatever it is; parameters stay float32. The
    gradients of "float16" need a loss scale.
  scan: loop over equal layers with `lax.scan` (compile once) or unroll them.
  remat: what the backward pass recomputes: "none", "full" (every block from its input),
    "dots" (all but the outputs of matrix products).
  attention: a kernel of models/components/attend.py, or "auto" for the best that
    supports the case on this backend; the run prints the choice and the reasons.
  """

  compute_dtype: str = "float32"
  scan: bool = True
  remat: str = "none"
  attention: str = "auto"

  def __post_init__(self):
    if self.compute_dtype not in DTYPES:
      raise ValueError(
        f"Execution.compute_dtype={self.compute_dtype!r} is not supported; "
        f"use one of {', '.join(DTYPES)}."
      )
    if self.remat not in REMAT:
      raise ValueError(
        f"Execution.remat={self.remat!r} is unknown; use one of {', '.join(REMAT)}."
      )
