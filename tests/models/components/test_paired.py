"""Text and code that belong together: both losses by brute force, and a step that learns."""

import jax
import numpy as np
import pytest

from models.components.model import Pass
from models.components.paired import Paired, contrastive
from models.components.param import bind, declarations, draw
from models.components.spec import Swap
from models.families.t5 import t5

T5 = t5(dim=16, hidden=24, heads=2, layers=1, head_dim=8, vocab=40)
SPEC = Swap(old="EncoderDecoder", new=Paired(projection=8))(T5)
ROWS, LENGTH = 4, 6
CLOSE = 2e-5  # float32 rounding of some hundred terms of order one


def batch():
  """Three pairs of several lengths, and a row of padding."""
  rng = np.random.default_rng(0)
  made = {}
  for side, lengths in (("encoder", (6, 4, 5, 0)), ("decoder", (3, 6, 5, 0))):
    inside = np.arange(LENGTH) < np.array(lengths)[:, None]
    tokens = np.where(inside, rng.integers(2, 40, inside.shape), 0).astype(np.int32)
    made |= {
      f"{side}_input_tokens": tokens,
      f"{side}_segment_ids": inside.astype(np.int32),
      f"{side}_positions": np.tile(np.arange(LENGTH, dtype=np.int32), (ROWS, 1)),
    }
  targets = made["decoder_input_tokens"]
  made["decoder_input_tokens"] = np.pad(targets, ((0, 0), (1, 0)))[:, :-1]
  return made | {
    "decoder_target_tokens": targets,
    "decoder_loss_weights": (targets > 0).astype(np.float32),
  }


@pytest.fixture(scope="module")
def model():
  return bind(SPEC.build(), draw(declarations(SPEC), seed=0))


def softmax(scores):
  weights = np.exp(scores - scores.max())
  return weights / weights.sum()


def unit_vectors(model, tokens, lengths):
  """Each row alone, cut to its length: what padding holds must not matter."""
  found = []
  for row, length in zip(tokens, lengths, strict=True):
    memory, _ = model.encode({"encoder_input_tokens": row[None, :length]})
    x = np.float64(memory.output_BSD[0, 0]) @ np.float64(model.projection.kernel[...])
    x = x + np.float64(model.projection.bias[...])
    found.append(x / np.sqrt((x**2).sum()))
  return np.array(found)


def similarities(model):
  data = batch()
  texts = unit_vectors(model, data["encoder_input_tokens"][:3], (6, 4, 5))
  codes = unit_vectors(model, data["decoder_target_tokens"][:3], (3, 6, 5))
  return texts @ codes.T / 0.07


def test_the_contrastive_loss_is_the_papers(model):
  _, aux = model(batch())
  scores = similarities(model)
  of_texts = [-np.log(softmax(scores[i])[i]) for i in range(3)]
  of_codes = [-np.log(softmax(scores[:, i])[i]) for i in range(3)]
  expected = (np.mean(of_texts) + np.mean(of_codes)) / 2
  assert float(aux["contrastive"]) == pytest.approx(expected, rel=CLOSE)


def test_the_matching_loss_takes_the_likest_wrong_code_in_evaluation(model):
  _, aux = model(batch())
  data, scores = batch(), similarities(model)
  losses = []
  for i in range(3):
    others = [j for j in range(3) if j != i]
    wrong = max(others, key=lambda j: scores[i, j])
    text = data["encoder_input_tokens"][i : i + 1, : (6, 4, 5)[i]]
    memory, _ = model.encode({"encoder_input_tokens": text})
    for j, pair in ((wrong, 0), (i, 1)):
      code = data["decoder_target_tokens"][j : j + 1, : (3, 6, 5)[j]]
      hidden, _, _ = model.decode({"decoder_input_tokens": code}, memory=memory)
      logits = np.float64(hidden[0, -1]) @ np.float64(model.pair_head.kernel[...])
      logits = logits + np.float64(model.pair_head.bias[...])
      losses.append(-np.log(softmax(logits)[pair]))
  assert float(aux["matching"]) == pytest.approx(np.mean(losses), rel=CLOSE)


def test_equal_scores_cost_a_guess_and_rows_without_a_pair_nothing():
  real = np.array([True, True, True, False])
  assert float(contrastive(np.zeros((4, 4)), real)) == pytest.approx(np.log(3))
  near = np.where(np.eye(4, dtype=bool), 100.0, 0.0)
  assert float(contrastive(near, real)) == pytest.approx(0, abs=1e-6)


def test_in_training_wrong_codes_are_drawn_and_every_part_gets_a_gradient():
  params = draw(declarations(SPEC), seed=0)
  module = SPEC.build()

  def loss(params, key):
    _, aux = bind(module, params)(batch(), Pass(key=key))
    return aux["contrastive"] + aux["matching"], aux["matching"]

  step = jax.jit(jax.grad(loss, has_aux=True))
  grads, _ = step(params, jax.random.key(0))
  for name in ("projection", "pair_head", "encoder", "decoder", "token_embedder"):
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(grads[name])), name
  drawn = {float(step(params, jax.random.key(seed))[1]) for seed in range(8)}
  assert len(drawn) > 1
