"""The dictionary: every logical axis name and what it means. Pure.

You are in: partitioning. A parameter names each of its axes with one of these; rules
map names to mesh axes. The spelling is T5X's where T5X has the name.
"""

AXES: dict[str, str] = {
  "batch": "rows of a batch",
  "length": "tokens of a row",
  "vocab": "ids of the vocabulary",
  "embed": "features of the residual stream",
  "mlp": "hidden units of a feed-forward layer",
  "heads": "query heads",
  "kv_heads": "key and value heads (fewer than `heads` in grouped-query attention)",
  "kv": "features of one head",
  "relpos_buckets": "buckets of relative distance",
  "abspos_buckets": "learned absolute positions",
  "layers": "equal layers stored in one array",
}
