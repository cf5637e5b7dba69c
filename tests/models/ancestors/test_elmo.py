"""ELMo: its published size, its parts beside PyTorch's, its two directions."""

import jax
import numpy as np
import torch

from models.ancestors.cells import ProjectedLSTM
from models.ancestors.characters import (
  ALPHABET,
  BEGIN_TEXT,
  CharacterCNN,
  spelled,
)
from models.ancestors.elmo import ELMo, LayerMix
from models.ancestors.recurrent import RecurrentStack
from models.components.context import Context
from models.components.param import bind, count, declarations, draw, nested
from partitioning.axes import AXES

CNN = CharacterCNN(filters=((1, 4), (2, 5), (3, 6)), width=3)
SMALL = ELMo(vocab=20, characters=CNN, cell=ProjectedLSTM(hidden=10, width=6, clip=0.4))
ROWS, WORDS, LETTERS = 2, 7, 8
CLOSE = 2e-6  # float32 rounding of sums of some tens of terms of order one
FAST_COMPILE = {"xla_backend_optimization_level": 0}


def values_of(model) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  declared = declarations(model).items()
  return {k: 0.4 * rng.standard_normal(d.shape, np.float32) for k, d in declared}


def jit(function):
  return jax.jit(function, compiler_options=FAST_COMPILE)


def letters() -> np.ndarray:
  rng = np.random.default_rng(1)
  return rng.integers(1, ALPHABET, (ROWS, WORDS, LETTERS)).astype(np.int32)


def layers(values, ids, segments):
  return jit(lambda v, i, s: bind(SMALL.build(), nested(v))(i, s))(
    values, ids, segments
  )


def test_the_model_without_its_softmax_has_93_600_864_parameters():
  declared = declarations(ELMo(vocab=793_471))
  own = sum(d.size for name, d in declared.items() if not name.startswith("head/"))
  assert own == 93_600_864


def test_every_axis_of_a_parameter_has_a_name_of_its_own():
  for path, declared in declarations(SMALL).items():
    assert len(declared.shape) == len(set(declared.axes)), path
    assert set(declared.axes) <= set(AXES), path


def test_words_are_spelled_with_marks():
  rows = spelled(["ab", BEGIN_TEXT, "c" * 90], width=6)
  a, b, c = (ord(letter) + 1 for letter in "abc")
  np.testing.assert_array_equal(
    rows,
    [[259, a, b, 260, 261, 261], [259, 257, 260] + 3 * [261], [259, *4 * [c], 260]],
  )


def test_a_projected_lstm_is_that_of_torch():
  spec = RecurrentStack(cells=(ProjectedLSTM(hidden=10, width=6),))
  layer = spec.build(6)
  values = values_of(layer)
  x = np.random.default_rng(1).standard_normal((ROWS, WORDS, 6), np.float32)
  theirs = torch.nn.LSTM(6, 10, proj_size=6, batch_first=True)
  with torch.no_grad():
    for ours, their in (("input", "ih"), ("recurrent", "hh"), ("out", "hr")):
      kernel = values[f"cell_0/{ours}/kernel"].T.copy()
      getattr(theirs, f"weight_{their}_l0").set_(torch.from_numpy(kernel))
    theirs.bias_ih_l0.set_(torch.from_numpy(values["cell_0/input/bias"]))
    theirs.bias_hh_l0.zero_()
  ones = np.ones((ROWS, WORDS), np.int32)
  ctx = Context(segments_BT=ones, positions_BT=ones)
  out = jit(lambda v, x: bind(layer, nested(v))(x, ctx)[0])(values, x)
  expected = theirs(torch.from_numpy(x))[0].detach().numpy()
  np.testing.assert_allclose(out, expected, atol=CLOSE)


def test_clipping_bounds_outputs_and_memory():
  cell = ProjectedLSTM(hidden=10, width=6, clip=0.1).build(6)
  layer = bind(cell, nested(values_of(cell)))
  state = (np.ones((1, 6), np.float32), np.full((1, 10), 5, np.float32))
  h, c = layer.step(state, layer.project(np.ones((1, 6), np.float32)))
  assert np.abs(h).max() <= np.float32(0.1) and np.abs(c).max() == np.float32(0.1)


def test_the_character_network_is_convolutions_and_highways_of_torch():
  layer = CNN.build(6)
  values, ids = values_of(layer), letters()
  out = jit(lambda v, i: bind(layer, nested(v))(i))(values, ids)
  p = {name: torch.from_numpy(value) for name, value in values.items()}
  x = p["embedding"][ids.reshape(-1, LETTERS)].transpose(1, 2)
  found = []
  for size, number in CNN.filters:
    kernel = p[f"filter_{size}/kernel"].reshape(size, 3, number).permute(2, 1, 0)
    found.append(
      torch.nn.functional.conv1d(x, kernel, p[f"filter_{size}/bias"]).amax(2).relu()
    )
  x = torch.cat(found, dim=1)
  for n in range(2):
    new = (x @ p[f"highway_{n}/kernel"] + p[f"highway_{n}/bias"]).relu()
    gate = (x @ p[f"gate_{n}/kernel"] + p[f"gate_{n}/bias"]).sigmoid()
    x = gate * new + (1 - gate) * x
  x = x @ p["project/kernel"] + p["project/bias"]
  # Values of some tens, after four products.
  np.testing.assert_allclose(out.reshape(-1, 6), x.numpy(), rtol=1e-5, atol=20 * CLOSE)


def test_each_half_sees_its_side_of_a_word_alone():
  values, ids = values_of(SMALL), letters()
  segments = np.ones((ROWS, WORDS), np.int32)
  changed = ids.copy()
  changed[:, 3] = (changed[:, 3] + 5) % ALPHABET
  moved = np.abs(layers(values, ids, segments) - layers(values, changed, segments))
  forward, backward = (half.max(axis=(1, 3)) for half in np.split(moved, 2, axis=-1))
  np.testing.assert_array_equal(forward[:, :3], 0)
  np.testing.assert_array_equal(backward[:, 4:], 0)
  assert (forward[1:, 3:] > 0).all() and (backward[1:, :4] > 0).all()
  # The words alone are the first layer.
  np.testing.assert_array_equal(forward[0, 4:], 0)


def test_packed_sentences_do_not_see_each_other():
  values, ids = values_of(SMALL), letters()
  segments = np.tile(np.int32([1, 1, 1, 2, 2, 2, 0]), (ROWS, 1))
  together = layers(values, ids, segments)
  for start, end in ((0, 3), (3, 6)):
    apart = layers(values, ids[:, start:end], np.ones((ROWS, end - start), np.int32))
    np.testing.assert_allclose(together[:, :, start:end], apart, atol=CLOSE)


def test_training_lowers_the_loss_from_that_of_a_guess():
  ids, words = letters(), np.random.default_rng(2).integers(0, 20, (ROWS, WORDS))
  segments = np.tile(np.int32([1, 1, 1, 1, 2, 2, 0]), (ROWS, 1))
  params = draw(declarations(SMALL), seed=0)

  def loss(params):
    return bind(SMALL.build(), params).loss(ids, words, segments)

  step = jit(jax.value_and_grad(loss))
  first, grads = step(params)
  assert abs(first - np.log(20)) < 0.5
  assert all(np.abs(grad).max() > 0 for grad in jax.tree.leaves(grads))
  for _ in range(60):
    _, grads = step(params)
    params = jax.tree.map(lambda p, g: p - 0.5 * g, params, grads)
  assert step(params)[0] < 0.7 * first


def test_the_mix_is_a_weighted_mean_times_gamma():
  mix = LayerMix(layers=3)
  values = {"scores": np.float32([0.0, np.log(2.0), 0.0]), "scale": np.float32([4.0])}
  h = np.random.default_rng(0).standard_normal((3, 1, 2, 5), np.float32)
  out = bind(mix.build(), values)(h)
  np.testing.assert_allclose(out, h[0] + 2 * h[1] + h[2], rtol=1e-5, atol=CLOSE)
  assert count(mix) == 4
