"""The dictionary: every axis name and what it means. Pure.

You are in: partitioning. A parameter names each of its axes with a logical name; rules
map logical names to mesh axes. The spelling is T5X's where T5X has the name.
"""

AXES: dict[str, str] = {
  "batch": "rows of a batch",
  "length": "tokens of a row",
  "vocab": "ids of the vocabulary",
  "embed": "features of the residual stream",
  "features": "`embed` of vectors just read from a table, split as the table is",
  "mlp": "hidden units of a feed-forward layer",
  "expert": "experts of a mixture, each with weights of its own",
  "unmodeled": "scores of a router, whole on every device",
  "heads": "query heads",
  "kv_heads": "key and value heads (fewer than `heads` in grouped-query attention)",
  "kv": "features of one head",
  "latent": "compressed features: of queries, of keys and values, of a token table",
  "relpos_buckets": "buckets of relative distance",
  "abspos_buckets": "learned absolute positions",
  "classes": "answers of a head that judges a whole row",
  "token_types": "types of tokens, such as the first and the second sentence",
  "layers": "equal layers stored in one array",
}

MESH_AXES: dict[str, str] = {
  "data": "copies of the model, each with its rows of the batch",
  "pipeline": "devices that share the layers of one copy, a stage each",
  "fsdp": "copies that share the storage of one, each with its rows of the batch",
  "context": "devices that share each row of one copy, each with its part of the tokens",
  "tensor": "devices that share each product of one copy",
}
