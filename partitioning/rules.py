"""Rules: which mesh axis a logical axis is split over. Data, not code.

You are in: partitioning, pure. Rules are ordered pairs (logical axis, mesh axis); an
array axis takes the first rule of its name whose mesh axis is not yet used by that
array, and is whole when there is none. A new preset is a new tuple, or a `Scheme` where
parameters and what is stored of them follow different rules.
"""

from __future__ import annotations

import dataclasses

from partitioning.axes import AXES, MESH_AXES

Rules = tuple[tuple[str, str | tuple[str, ...] | None], ...]

# The rows of a batch are spread over every axis that does not split the model itself.
BATCH: Rules = (("batch", ("data", "fsdp")),)
# Megatron's split (Shoeybi et al. 2019, arXiv:1909.08053): heads and hidden units.
TENSOR: Rules = (
  ("vocab", "tensor"),
  ("mlp", "tensor"),
  ("heads", "tensor"),
  ("kv_heads", "tensor"),
)
# ZeRO stage 3 (Rajbhandari et al. 2020, arXiv:1910.02054): parameters and optimizer
# state are split along the residual stream and gathered where they are used.
FSDP: Rules = (("embed", "fsdp"),)

# Experts live on different devices, and tokens travel to them (GShard, Lepikhin et al.
# 2020, arXiv:2006.16668). Where experts take `fsdp`, rows are left with `data`.
EXPERT: Rules = (("expert", "fsdp"),) + BATCH + (("batch", "data"),)

# The residual stream between products is split by tokens over the devices that share
# them, norms and dropout included (Korthikanti et al. 2022, arXiv:2205.05198, section
# 4.2.2). After TENSOR, so that inside a product heads and hidden units come first.
SEQUENCE: Rules = (("length", "tensor"),)
# Rows longer than one device holds (Liu et al. 2023, arXiv:2310.01889): their tokens lie
# on several, and keys and values travel (models/components/attend_ring.py).
CONTEXT: Rules = (("length", "context"),)
# Equal layers lie on different devices, and microbatches go through them (Huang et al.
# 2019, arXiv:1811.06965; models/components/pipeline.py). What is before and after the
# layers is computed by all of them, each with its part of the rows.
PIPELINE: Rules = (("layers", "pipeline"), ("batch", ("data", "fsdp", "pipeline")))
# What ZeRO stages 1 and 2 split, over all copies of the model.
STORED: Rules = (("embed", ("data", "fsdp")),)

PRESETS: dict[str, Rules] = {
  "replicated": BATCH,
  "data": BATCH,
  "fsdp": BATCH + FSDP,
  "tensor": BATCH + TENSOR,
  "fsdp_tensor": BATCH + TENSOR + FSDP,
  "expert": EXPERT + FSDP,
  "expert_tensor": EXPERT + TENSOR + FSDP,
  "fsdp_tensor_sequence": BATCH + TENSOR + FSDP + SEQUENCE,
  "context": BATCH + CONTEXT,
  "fsdp_context": BATCH + FSDP + CONTEXT,
  "pipeline": PIPELINE,
  "pipeline_fsdp": PIPELINE + FSDP,
  "pipeline_tensor": PIPELINE + TENSOR,
  "pipeline_fsdp_tensor": PIPELINE + TENSOR + FSDP,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scheme:
  """Rules by what they place; fields that are None follow `rules`.

  rules: parameters and activations. state: what an optimizer keeps of each parameter,
  and averages. gradients: summed over the batch, until the update is computed.
  """

  rules: Rules
  state: Rules | None = None
  gradients: Rules | None = None

  @property
  def placed(self) -> dict[str, Rules]:
    """The rules of each field, with what None stands for."""
    return {
      "rules": self.rules,
      "state": self.rules if self.state is None else self.state,
      "gradients": self.rules if self.gradients is None else self.gradients,
    }


# Rajbhandari et al. 2020, arXiv:1910.02054, section 5: P_os and P_os+g. P_os+g+p, the
# third stage, is `fsdp`.
SCHEMES: dict[str, Scheme] = {
  **{name: Scheme(rules=rules) for name, rules in PRESETS.items()},
  "zero1": Scheme(rules=BATCH, state=BATCH + STORED),
  "zero2": Scheme(rules=BATCH, state=BATCH + STORED, gradients=BATCH + STORED),
}


def resolve(rules: str | Rules | Scheme) -> Scheme:
  """The preset of this name, or the rules as given, for everything they place.

  Raises ValueError for an unknown preset, and for a rule that could never act because
  it names an axis that does not exist.
  """
  if isinstance(rules, str):
    if rules not in SCHEMES:
      raise ValueError(
        f"Rules {rules!r} are no preset; use one of {', '.join(SCHEMES)}."
      )
    return SCHEMES[rules]
  scheme = rules if isinstance(rules, Scheme) else Scheme(rules=rules)
  for part in scheme.placed.values():
    _check(part)
  return scheme


def _check(rules: Rules) -> None:
  """Every rule names axes that exist."""
  for logical, target in rules:
    if logical not in AXES:
      raise ValueError(
        f"Rule {(logical, target)} names logical axis {logical!r}. "
        f"Known axes: {', '.join(AXES)} (partitioning/axes.py)."
      )
    for axis in (target,) if isinstance(target, str) else target or ():
      if axis not in MESH_AXES:
        raise ValueError(
          f"Rule {(logical, target)} names mesh axis {axis!r}. "
          f"Use one of {', '.join(MESH_AXES)}, or None."
        )
