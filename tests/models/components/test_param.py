"""Parameters: declared shapes, and initial values that depend on names and layers only."""

import functools
import math
import re

import jax
import numpy as np
import pytest

from models.components.ffn import FFN, GatedFFN
from models.components.param import declarations, draw, flatten, nested
from models.components.spec import replace, swap
from models.families.gpt2 import gpt2
from models.families.llama import llama
from models.families.t5 import t5, t5_1_1, umt5

# LLVM's optimizations take most of the compilation and are not what is tested here.
FAST_COMPILE = {"xla_backend_optimization_level": 0}
SIZES = dict(dim=128, hidden=192, heads=4, head_dim=24, layers=2, vocab=256)


@functools.cache
def values(spec, pattern=".*", seed=0) -> dict:
  """Initial values by path, of parameters whose path contains `pattern`."""
  declared = {p: d for p, d in declarations(spec).items() if re.search(pattern, p)}
  run = functools.partial(draw, declared, seed=seed)
  made = jax.jit(run, compiler_options=FAST_COMPILE)()
  return {path: np.asarray(value) for path, value in flatten(made).items()}


def assert_std(x: np.ndarray, std: float):
  """Within five standard errors of N(0, std^2)'s sample deviation, std / sqrt(2 n)."""
  assert abs(x.std() - std) < 5 * std / math.sqrt(2 * x.size)
  assert abs(x.mean()) < 5 * std / math.sqrt(x.size)


def test_t5_starts_as_published():
  """Raffel et al. 2020 through mesh_tensorflow: d**-0.5 and so on, queries smaller."""
  v = values(t5(**SIZES))
  d, f, heads, kv = 128, 192, 4, 24
  for part in ("encoder/blocks_0/attention", "decoder/blocks_0/cross"):
    assert_std(v[f"{part}/query/kernel"], (d * kv) ** -0.5)
    assert_std(v[f"{part}/key/kernel"], d**-0.5)
    assert_std(v[f"{part}/value/kernel"], d**-0.5)
    assert_std(v[f"{part}/out/kernel"], (heads * kv) ** -0.5)
  assert_std(v["decoder/blocks_0/ffn/up/kernel"], d**-0.5)
  assert_std(v["decoder/blocks_0/ffn/down/kernel"], f**-0.5)
  assert_std(v["token_embedder/embedding"], 1.0)
  assert np.all(v["encoder/final_norm/scale"] == 1)


def test_t5_1_1_head_starts_at_the_inverse_root_of_its_width():
  assert_std(values(t5_1_1(**SIZES), "head")["head/kernel"], 128**-0.5)


def test_relative_bias_starts_glorot_uniform():
  path = "encoder/blocks_0/attention/relative_bias/embedding"
  table = values(umt5(**SIZES), path)[path]
  bound = math.sqrt(6 / (4 + 32))
  assert np.abs(table).max() <= bound
  assert np.abs(table).max() > 0.95 * bound
  # The variance of U(-a, a) is a^2 / 3, its sample's standard error below 0.9 / sqrt(n).
  assert abs(table.var() / (bound**2 / 3) - 1) < 5 * 0.9 / math.sqrt(table.size)


def test_gpt2_starts_as_published():
  v = values(gpt2(dim=128, heads=4, layers=3, vocab=256, length=64))
  for name in ("attention/query", "attention/value", "ffn/up"):
    assert_std(v[f"decoder/blocks_0/{name}/kernel"], 0.02)
  for name in ("attention/out", "ffn/down"):
    assert_std(v[f"decoder/blocks_0/{name}/kernel"], 0.02 / math.sqrt(2 * 3))
  assert_std(v["token_embedder/embedding"], 0.02)
  assert_std(v["token_embedder/position/embedding"], 0.01)
  assert np.all(v["decoder/blocks_0/ffn/up/bias"] == 0)


def test_llama_starts_at_two_hundredths():
  v = values(llama(dim=128, hidden=192, heads=4, kv_heads=2, layers=2, vocab=256))
  for path, value in v.items():
    if not path.endswith("scale"):
      assert_std(value, 0.02)


def test_layers_and_parameters_start_differently():
  v = values(t5_1_1(**SIZES), "encoder")
  gate, up = (v[f"encoder/blocks_0/ffn/{n}/kernel"] for n in ("gate", "up"))
  for one, two in ((gate[0], gate[1]), (gate[0], up[0])):
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 5 / math.sqrt(one.size)


def test_seeds_differ():
  one, two = (values(t5_1_1(**SIZES), "head", seed) for seed in (0, 1))
  assert np.abs(one["head/kernel"] - two["head/kernel"]).max() > 0.1


def test_models_that_share_a_part_start_with_equal_values_there():
  gated = t5_1_1(**SIZES)
  plain = swap(gated, GatedFFN, FFN(hidden=192))
  one, two = values(gated, "encoder"), values(plain, "encoder")
  assert one.keys() - two.keys() == {"encoder/blocks_0/ffn/gate/kernel"}
  for path in two:
    np.testing.assert_array_equal(one[path], two[path], err_msg=path)


WHOLE = llama(dim=32, hidden=48, heads=4, layers=5, vocab=64)
BLOCK = WHOLE.decoder.blocks[0]
OTHER = replace(BLOCK, ffn=replace(BLOCK.ffn, act="relu"))


@pytest.mark.parametrize(
  "blocks,stored",
  [
    ((BLOCK, BLOCK, OTHER, BLOCK, BLOCK), {0: [0, 1], 2: [2], 3: [3, 4]}),
    ((BLOCK, OTHER, BLOCK, OTHER, BLOCK), {0: [0, 2], 1: [1, 3], 4: [4]}),
  ],
)
def test_layers_start_alike_however_they_are_stacked(blocks, stored):
  """`stored` says which layers are stacked where; an activation has no parameters."""
  split = replace(WHOLE, decoder=replace(WHOLE.decoder, blocks=blocks))
  pattern = "out/kernel|up/kernel"
  one, two = values(WHOLE, pattern), values(split, pattern)
  assert len(two) == len(one) * len(stored)
  for path, value in one.items():
    for first, layers in stored.items():
      part = two[path.replace("blocks_0", f"blocks_{first}")]
      np.testing.assert_array_equal(part, value[layers], err_msg=path)


def test_nested_and_flatten_are_inverse():
  flat = {"a/b": 1, "a/c/d": 2, "e": 3}
  assert nested(flat) == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
  assert flatten(nested(flat)) == flat


@pytest.mark.parametrize("layers", [1, 3])
def test_declarations_name_axes_and_absolute_layers(layers):
  spec = llama(dim=32, hidden=48, heads=4, kv_heads=2, layers=layers, vocab=64)
  key = declarations(spec)["decoder/blocks_0/attention/key/kernel"]
  assert key.shape == (layers, 32, 2, 8)
  assert key.axes == ("layers", "embed", "kv_heads", "kv")
  assert key.layers == tuple(range(layers))
