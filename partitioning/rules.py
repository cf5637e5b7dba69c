"""Rules: which mesh axis a logical axis is split over. Data, not code.

You are in: partitioning, pure. Rules are ordered pairs (logical axis, mesh axis); an
array axis takes the first rule of its name whose mesh axis is not yet used by that
array, and is whole when there is none. A new scheme is a new tuple.
"""

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

PRESETS: dict[str, Rules] = {
  "replicated": BATCH,
  "data": BATCH,
  "fsdp": BATCH + FSDP,
  "tensor": BATCH + TENSOR,
  "fsdp_tensor": BATCH + TENSOR + FSDP,
}
