"""Execution: how a model is computed. It never changes parameters or checkpoints.

You are in: models/components. A field here may change speed, memory and rounding; what
is computed belongs to specs, where arrays live belongs to partitioning.
"""

from __future__ import annotations

import dataclasses

SCHEDULES = ("gpipe", "1f1b")
# What is said of a pipeline, as it is where nothing is said.
PIPELINE = {
  "pipeline_microbatches": None,
  "pipeline_repeats": None,
  "pipeline_schedule": "gpipe",
}
DTYPES = ("float32", "bfloat16", "float16")
REMAT = ("none", "minimal", "dots", "full")
# Values of a block that `Execution.remat` and `offload` can name.
NAMES = {
  "residual": "what enters a block",
  "query": "queries, as they leave their product",
  "key": "keys",
  "value": "values",
  "latent": "compressed queries, keys and values (multi-head latent attention)",
  "attention": "values mixed by attention, with what its gradient needs of the softmax",
  "attention_out": "what attention adds to the residual",
  "router": "scores of experts",
  "gate": "the gate of a gated feed-forward layer",
  "up": "hidden units of a feed-forward layer",
  "ffn_out": "what a feed-forward layer adds to the residual",
}
OPTIMIZER = "optimizer"  # may be offloaded too


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
  """How to run a model.

  compute_dtype: dtype of activations and of weights inside matrix products. Softmax,
    norms, router and loss are float32 whatever it is; parameters stay float32. The
    gradients of "float16" need a loss scale.
  scan: loop over equal layers with `lax.scan` (compile once) or unroll them.
  remat: what the backward pass recomputes of a block: "none"; "minimal" (all but the
    outputs of products with a weight, and of attention); "dots" (all but the outputs of
    products without a batch axis: attention again, and experts; what T5X calls minimal);
    "full" (all, from the block's input); or a tuple of NAMES (all but these).
  offload: NAMES that wait for the backward pass in the host's memory, and "optimizer",
    for what the optimizer keeps between steps. Names need remat "full", "minimal" or a
    tuple; "residual" with "full" leaves nothing of a block on the device.
  attention: a kernel of models/components/attend.py; or names of several, of which each
    layer takes the first that can; or "auto" for the best that supports the case on this
    backend. The run prints the choice and the reasons.
  strict: training stops, before the first step, when a kernel that comes earlier in
    that order and that the backend has cannot compute some layer.
  pipeline_microbatches: parts of a batch that follow each other through the stages of a
    pipeline (partitioning/rules.py, `pipeline`), None for as many as stages. With S
    stages and M parts, (S - 1) / (M + S - 1) of the time a stage waits.
  pipeline_repeats: pieces of each stage, through all of which a part goes round (the
    interleaved schedule), None for one. With V pieces a stage waits for S of V M + S
    shorter turns, but layers are exchanged between stages in every step.
  pipeline_schedule: "gpipe", all parts forward and then all backward; or "1f1b", one
    forward and one backward in turn, so that few of them wait for their backward pass.
    Then a stage computes its part again, and `remat` is what it keeps while it does.
  """

  compute_dtype: str = "float32"
  scan: bool = True
  remat: str | tuple[str, ...] = "none"
  offload: tuple[str, ...] = ()
  attention: str | tuple[str, ...] = "auto"
  strict: bool = False
  pipeline_microbatches: int | None = None
  pipeline_repeats: int | None = None
  pipeline_schedule: str = "gpipe"

  def __post_init__(self):
    parts = self.pipeline_microbatches
    if parts is not None and parts < 1:
      raise ValueError(f"Execution.pipeline_microbatches={parts} must be positive.")
    repeats = self.pipeline_repeats
    if repeats is not None and repeats < 1:
      raise ValueError(f"Execution.pipeline_repeats={repeats} must be positive.")
    if self.pipeline_schedule not in SCHEDULES:
      raise ValueError(
        f"Execution.pipeline_schedule={self.pipeline_schedule!r} is unknown; use one of "
        f"{', '.join(SCHEDULES)}."
      )
    gpipe = self.pipeline_schedule == "gpipe"
    if (repeats or 1) > 1 and gpipe and self.remat == "none":
      raise ValueError(
        f"Execution.pipeline_repeats={repeats} with remat='none' would keep a copy of its "
        "weights for every turn of a microbatch. Use remat 'minimal', 'dots' or 'full', or "
        "pipeline_schedule='1f1b'."
      )
    if self.compute_dtype not in DTYPES:
      raise ValueError(
        f"Execution.compute_dtype={self.compute_dtype!r} is not supported; "
        f"use one of {', '.join(DTYPES)}."
      )
    if not isinstance(self.remat, str):
      # gin makes lists; an Execution is hashed.
      object.__setattr__(self, "remat", tuple(self.remat))
      _check_names("remat", self.remat)
    elif self.remat not in REMAT:
      raise ValueError(
        f"Execution.remat={self.remat!r} is unknown; use one of {', '.join(REMAT)}, or a "
        f"tuple of names to keep: {', '.join(NAMES)}."
      )
    object.__setattr__(self, "offload", tuple(self.offload))
    if not isinstance(self.attention, str):
      object.__setattr__(self, "attention", tuple(self.attention))
    names = tuple(name for name in self.offload if name != OPTIMIZER)
    _check_names("offload", names)
    if names and self.remat in ("none", "dots"):
      raise ValueError(
        f"Execution.offload={self.offload!r} names values of blocks, and with "
        f"Execution.remat={self.remat!r} names decide nothing. Use remat 'full', "
        "'minimal' or a tuple of names to keep on the device."
      )


def _check_names(field: str, names: tuple[str, ...]) -> None:
  if unknown := [name for name in names if name not in NAMES]:
    raise ValueError(
      f"Execution.{field} names {', '.join(map(repr, unknown))}, which no block has. "
      f"Known: {', '.join(NAMES)}" + (f", {OPTIMIZER}." if field == "offload" else ".")
    )
