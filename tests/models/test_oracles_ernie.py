"""ERNIE 3.0 beside NumPy written from the paper, in float64, and its published sizes."""

import jax
import numpy as np
import pytest
import test_contract as contract
from scipy.special import erf
from test_contract_encoders import batch as encoder_batch

from models.components.context import Context
from models.components.mask import Causal
from models.components.model import Pass
from models.components.param import bind, count, declarations, flatten, nested
from models.components.relative_attention import RelativeAttention
from models.components.spec import replace
from models.components.stack import StackLayer
from models.components.two_way_attention import TwoWayAttention
from models.transforms import inherit
from models.zoo import ZOO

CLOSE = 2e-6  # of the largest: float32 sums of some tens of terms through four layers


@pytest.mark.parametrize(
  "size,published,off", [("10b", 10e9, 0.08), ("titan_260b", 260e9, 0.04)]
)
def test_counts_are_near_the_published_names(size, published, off):
  """Names, rounded; with W_R of every layer (d^2 of 13 d^2, of 37 d^2 in Titan)."""
  assert count(ZOO[f"ernie3/{size}"].spec()) == pytest.approx(published, rel=off)


def test_the_universal_stack_is_12_squares_a_layer_and_the_distances():
  """48 (4 d^2 + 8 d^2) = 9.665e9, and d^2 more a layer for W_R."""
  declared = declarations(ZOO["ernie3/10b"].spec())
  kernels = sum(
    d.size
    for path, d in declared.items()
    if "/universal/" in path and path.endswith("/kernel")
  )
  assert kernels == 48 * 13 * 4096**2


def layer_norm(x, p):
  centred = x - x.mean(-1, keepdims=True)
  normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
  return normed * p["scale"] + p["bias"]


def sinusoid(distance, dim):
  angle = distance / 10_000.0 ** (np.arange(0, dim, 2) / dim)
  return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(-1)


def attention(x, p, visible):
  """(q_i + u) . k_j + (q_i + v) . W_R R_(i - j), over sqrt(head dim), pair by pair."""
  length, dim = x.shape
  q, k, v = (
    np.einsum("td,dnh->tnh", x, p[name]["kernel"]) + p[name]["bias"]
    for name in ("query", "key", "value")
  )
  heads, width = q.shape[1:]
  out = np.zeros_like(q)
  for n in range(heads):
    for i in range(length):
      seen = [j for j in range(length) if visible(i, j)]
      scores = []
      for j in seen:
        r = sinusoid(i - j, dim) @ p["relative"]["kernel"][:, n]
        content = (q[i, n] + p["content_bias"][n]) @ k[j, n]
        scores.append(content + (q[i, n] + p["distance_bias"][n]) @ r)
      scores = np.array(scores) / np.sqrt(width)
      weights = np.exp(scores - scores.max())
      out[i, n] = weights @ v[seen, n] / weights.sum()
  return np.einsum("tnh,nhd->td", out, p["out"]["kernel"]) + p["out"]["bias"]


def block(x, p, visible):
  x = layer_norm(x + attention(x, p["attention"], visible), p["attention_norm"])
  h = x @ p["ffn"]["up"]["kernel"] + p["ffn"]["up"]["bias"]
  h = h * (1 + erf(h / np.sqrt(2))) / 2
  y = h @ p["ffn"]["down"]["kernel"] + p["ffn"]["down"]["bias"]
  return layer_norm(x + y, p["ffn_norm"])


def layers(stack, count):
  [run] = stack.values()
  for i in range(count):
    yield nested({path: value[i] for path, value in flatten(run).items()})


def expected(params, side, tokens, types, visible):
  """Logits of one row of one task."""
  wide = lambda node: nested({k: np.float64(v) for k, v in flatten(node).items()})
  params = wide(params)
  embedder, tower = params["token_embedder"], params[side]
  x = embedder["embedding"][tokens]
  if types is not None:
    x = x + embedder["types"][types]
  for p in layers(tower["universal"], 2):
    x = block(x, p, visible)
  x = x @ tower["project"]["kernel"]
  for p in layers(tower["task"], 2):
    x = block(x, p, visible)
  return x @ params["head"]["kernel"]


def seen_back(i, j):
  """Segments of 8 with a memory of 4 tokens."""
  return i // 8 * 8 - 4 <= j <= i


CASES = {
  "ernie3/tiny": ("decoder", contract.batch, seen_back),
  "ernie3_understanding/tiny": ("encoder", encoder_batch, lambda i, j: True),
}


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_the_paper(name):
  side, batch, visible = CASES[name]
  spec = ZOO[name].spec()
  params, data = contract.parameters(spec), batch(spec)
  logits = np.asarray(contract.forward(spec)(params, data))[0]
  types = data.get(f"{side}_token_types")
  types = None if types is None else types[0]
  right = expected(params, side, data[f"{side}_input_tokens"][0], types, visible)
  assert np.abs(logits - right).max() <= CLOSE * np.abs(right).max()


def test_under_a_causal_mask_two_ways_are_one():
  """The same parameters, distances back alone: what lies ahead is masked."""
  rng, sizes = np.random.default_rng(0), dict(heads=2, head_dim=6)
  x = rng.standard_normal((2, 9, 12), np.float32)
  ones = np.ones((2, 9), np.int32)
  ctx = Context(segments_BT=ones, positions_BT=np.tile(np.arange(9), (2, 1)))
  both = TwoWayAttention(mask=Causal(), **sizes), RelativeAttention(**sizes)
  declared = declarations(both[0].build(12))
  values = {k: rng.standard_normal(d.shape, np.float32) for k, d in declared.items()}
  one, other = (bind(s.build(12), nested(values))(x, ctx)[0] for s in both)
  np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_what_the_tasks_share_goes_from_one_to_the_other():
  """Every parameter of the universal stack, and the table of tokens."""
  writes, reads = (ZOO[name].spec() for name in CASES)
  params = contract.parameters(writes)
  renamed = lambda name: name.replace("encoder/universal/", "decoder/universal/")
  child = flatten(inherit(params, parent=writes, child=reads, seed=0, source=renamed))
  parent = flatten(params)
  shared = [path for path in parent if "/universal/" in path]
  # Attention's 4 kernels and 4 biases, W_R, u and v; 2 norms; 2 products with biases.
  assert len(shared) == 11 + 4 + 4
  for path in shared:
    np.testing.assert_array_equal(
      child[path.replace("decoder", "encoder", 1)], parent[path]
    )
  table = "token_embedder/embedding"
  np.testing.assert_array_equal(child[table], parent[table])


def test_dropout_differs_between_the_stacks_of_a_tower(monkeypatch):
  """Layers of both are numbered from 0: their keys come from different ones."""
  spec, keys, call = ZOO["ernie3/tiny"].spec(), [], StackLayer.__call__

  def recorded(self, x, ctx, cache=None):
    keys.append(np.asarray(jax.random.key_data(ctx.key)).tobytes())
    return call(self, x, ctx, cache)

  monkeypatch.setattr(StackLayer, "__call__", recorded)
  run = Pass(key=jax.random.key(0), execution=contract.PLAIN)
  model = bind(replace(spec, dropout=0.5).build(), contract.parameters(spec))
  model(contract.batch(spec), run)
  assert len(set(keys)) == len(keys) == 2
