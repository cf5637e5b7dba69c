"""Recurrent stacks against torch.nn.LSTM and torch.nn.GRU, and where they start over."""

import jax
import numpy as np
import pytest
import torch

from models.ancestors.additive import BidirectionalStack
from models.ancestors.cells import GRU, LSTM
from models.ancestors.recurrent import RecurrentStack
from models.components.context import Context
from models.components.param import bind, count, declarations, nested
from models.zoo import ZOO

DIM, HIDDEN, ROWS, TOKENS, LAYERS = 6, 8, 3, 9, 2
# Float32 rounding, through gates that flatten it and TOKENS steps that add it up.
CLOSE = 2e-6
FAST_COMPILE = {"xla_backend_optimization_level": 0}
CELLS = {"LSTM": (LSTM, torch.nn.LSTM), "GRU": (GRU, torch.nn.GRU)}


def arrays(*shape) -> np.ndarray:
  return np.random.default_rng(0).standard_normal(shape, np.float32)


def context(segments=None) -> Context:
  rows = np.tile(np.arange(TOKENS, dtype=np.int32), (ROWS, 1))
  segments = np.ones_like(rows) if segments is None else segments
  return Context(segments_BT=segments, positions_BT=rows)


def parameters(layer) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(1)
  return {
    path: 0.4 * rng.standard_normal(declared.shape, np.float32)
    for path, declared in declarations(layer).items()
  }


def run(layer, values, x, ctx=None):
  def forward(values, x):
    return bind(layer, nested(values))(x, ctx or context())[0]

  return np.asarray(jax.jit(forward, compiler_options=FAST_COMPILE)(values, x))


def copied(theirs, values: dict[str, np.ndarray], cells: dict[str, str]):
  """Their module with our values; cells: our path -> the suffix of their names."""
  with torch.no_grad():
    for ours, suffix in cells.items():
      for our, their in (("input", "ih"), ("recurrent", "hh")):
        kernel = values[f"{ours}/{our}/kernel"].T.copy()
        getattr(theirs, f"weight_{their}_{suffix}").set_(torch.from_numpy(kernel))
        bias = values.get(f"{ours}/{our}/bias", np.zeros(len(kernel), np.float32))
        getattr(theirs, f"bias_{their}_{suffix}").set_(torch.from_numpy(bias))
  return theirs


@pytest.mark.parametrize("name", CELLS)
def test_a_stack_computes_what_torch_does(name):
  cell, kind = CELLS[name]
  spec = RecurrentStack(cells=LAYERS * (cell(hidden=HIDDEN),))
  layer = type(spec.build(HIDDEN))(spec, DIM)
  values, x = parameters(layer), arrays(ROWS, TOKENS, DIM)
  theirs = kind(DIM, HIDDEN, LAYERS, batch_first=True)
  copied(theirs, values, {f"cell_{i}": f"l{i}" for i in range(LAYERS)})
  expected = theirs(torch.from_numpy(x))[0].detach().numpy()
  np.testing.assert_allclose(run(layer, values, x), expected, atol=CLOSE)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_those_of_torch(name):
  cell, kind = CELLS[name]
  layer = RecurrentStack(cells=(cell(hidden=HIDDEN),)).build(HIDDEN)
  values, x = parameters(layer), arrays(ROWS, TOKENS, HIDDEN)
  theirs = copied(kind(HIDDEN, HIDDEN, batch_first=True), values, {"cell_0": "l0"})

  def loss(values):
    return (bind(layer, nested(values))(x, context())[0] ** 2).sum()

  grads = jax.jit(jax.grad(loss), compiler_options=FAST_COMPILE)(values)
  (theirs(torch.from_numpy(x))[0] ** 2).sum().backward()
  for ours, their in (("input", "ih"), ("recurrent", "hh")):
    expected = getattr(theirs, f"weight_{their}_l0").grad.numpy().T
    got = np.asarray(grads[f"cell_0/{ours}/kernel"])
    # Sums over ROWS x TOKENS x HIDDEN terms.
    np.testing.assert_allclose(got, expected, atol=20 * CLOSE)


@pytest.mark.parametrize("name", CELLS)
def test_two_directions_are_those_of_torch(name):
  cell, kind = CELLS[name]
  layer = BidirectionalStack(cell=cell(hidden=HIDDEN)).build(DIM)
  values, x = parameters(layer), arrays(ROWS, TOKENS, DIM)
  theirs = kind(DIM, HIDDEN, batch_first=True, bidirectional=True)
  copied(theirs, values, {"forward/cell_0": "l0", "backward/cell_0": "l0_reverse"})
  expected = theirs(torch.from_numpy(x))[0].detach().numpy()
  np.testing.assert_allclose(run(layer, values, x), expected, atol=CLOSE)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_packed_document_begins_from_nothing(reverse):
  spec = RecurrentStack(cells=(LSTM(hidden=HIDDEN),), reverse=reverse)
  layer = spec.build(HIDDEN)
  values, x = parameters(layer), arrays(ROWS, TOKENS, HIDDEN)
  segments = np.tile(np.int32([1, 1, 1, 1, 2, 2, 2, 0, 0]), (ROWS, 1))
  packed = run(layer, values, x, context(segments))
  for start, end in ((0, 4), (4, 7)):
    piece = np.ones((ROWS, end - start), np.int32)
    alone = Context(segments_BT=piece, positions_BT=piece)
    apart = run(layer, values, x[:, start:end], alone)
    np.testing.assert_allclose(packed[:, start:end], apart, atol=CLOSE)
  whole = run(layer, values, x)
  assert np.abs(whole[:, 4:6] - packed[:, 4:6]).max() > 0.1


def test_a_last_cell_of_another_width_than_the_model_is_an_error():
  with pytest.raises(
    ValueError, match="puts out 8 features, the head reads the model's dim=6"
  ):
    RecurrentStack(cells=(LSTM(hidden=8),)).build(6)


def test_sizes_of_lstm_language_models_are_those_that_were_reported():
  """20M and 66M: table 1 of Merity et al. 2016, arXiv:1609.07843."""
  sizes = {name: count(ZOO[f"lstm/{name}"].spec()) for name in ("medium", "large")}
  assert {k: round(v / 1e6) for k, v in sizes.items()} == {"medium": 20, "large": 66}


def test_64_million_parameters_of_seq2seq_are_recurrent():
  """Section 3.4 of arXiv:1409.3215; the rest are 1000 x (160,000 + 2 x 80,000) there."""
  spec = ZOO["seq2seq/wmt14"].spec()
  own = {k: d.size for k, d in declarations(spec).items() if "/cell_" in k}
  assert sum(own.values()) == 64_000_000
  assert count(spec) + 1000 * 160_000 == 384_000_000
