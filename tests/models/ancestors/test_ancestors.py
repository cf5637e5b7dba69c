"""NNLM, the handover of states and additive attention, written out word by word."""

import jax
import numpy as np
import pytest
import torch

from models.components.execution import Execution
from models.components.model import EncoderDecoder, Pass
from models.components.param import bind, declarations, nested
from models.families.nnlm import nnlm
from models.zoo import ZOO
from t5x_like.decode.generate import Generation, generate

ROWS, TOKENS = 2, 6
CLOSE = 5e-6  # float32 rounding of logits of order one to ten
FAST_COMPILE = {"xla_backend_optimization_level": 0}


def values_of(spec) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  declared = declarations(spec).items()
  return {k: 0.3 * rng.standard_normal(d.shape, np.float32) for k, d in declared}


def tokens_of(spec, seed: int = 0, width: int = TOKENS) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return rng.integers(1, spec.vocab, (ROWS, width)).astype(np.int32)


def logits(spec, batch, execution=Execution()):
  def forward(values, batch):
    model = bind(spec.build(), nested(values))
    return model.logits(model(batch, Pass(execution=execution))[0])

  jitted = jax.jit(forward, compiler_options=FAST_COMPILE)
  return np.asarray(jitted(values_of(spec), batch))


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def test_nnlm_is_equation_1():
  spec = nnlm(order=4, width=5, hidden=7, vocab=20)
  p, tokens = values_of(spec), tokens_of(spec)
  out = logits(spec, {"decoder_input_tokens": tokens})
  for row, at in np.ndindex(ROWS, TOKENS):
    words = [tokens[row, at - back] if at >= back else None for back in range(3)]
    table = p["token_embedder/embedding"]
    x = np.concatenate([np.zeros(5) if w is None else table[w] for w in words])
    h = np.tanh(x @ p["decoder/hidden/kernel"] + p["decoder/hidden/bias"])
    U, W = np.split(p["head/kernel"], [7])
    y = p["head/bias"] + x @ W + h @ U
    np.testing.assert_allclose(out[row, at], y, atol=CLOSE)


def test_the_dim_of_a_window_model_follows_from_its_parts():
  spec = nnlm(order=4, width=5, hidden=7, vocab=20)
  assert spec.dim == 7 + 3 * 5
  with pytest.raises(ValueError, match="must be hidden"):
    spec.decoder.build(20)


def test_seq2seq_is_an_lstm_that_starts_where_one_over_the_reversed_source_ended():
  spec = ZOO["seq2seq/tiny"].spec()
  p, source, target = values_of(spec), tokens_of(spec, 1, 5), tokens_of(spec)
  sides = {
    side: torch.nn.LSTM(32, 32, 2, bias=False, batch_first=True)
    for side in ("encoder", "decoder")
  }
  for side, lstm in sides.items():
    with torch.no_grad():
      for layer in range(2):
        for ours, theirs in (("input", "ih"), ("recurrent", "hh")):
          kernel = p[f"{side}/cell_{layer}/{ours}/kernel"].T.copy()
          getattr(lstm, f"weight_{theirs}_l{layer}").set_(torch.from_numpy(kernel))
  table = torch.from_numpy(p["token_embedder/embedding"])
  _, state = sides["encoder"](table[source[:, ::-1].copy()])
  hidden, _ = sides["decoder"](table[target], state)
  expected = hidden.detach().numpy() @ p["head/kernel"]
  out = logits(spec, {"encoder_input_tokens": source, "decoder_input_tokens": target})
  np.testing.assert_allclose(out, expected, atol=CLOSE)


def gru(p: dict, path: str, x: np.ndarray, h: np.ndarray, extra=0.0) -> np.ndarray:
  """One step of torch.nn.GRU's equations."""
  i = x @ p[f"{path}/input/kernel"] + p[f"{path}/input/bias"] + extra
  k = h @ p[f"{path}/recurrent/kernel"] + p[f"{path}/recurrent/bias"]
  (ir, iz, i_n), (kr, kz, kn) = np.split(i, 3), np.split(k, 3)
  z = sigmoid(iz + kz)
  return (1 - z) * np.tanh(i_n + sigmoid(ir + kr) * kn) + z * h


def test_rnnsearch_is_appendix_a():
  """Each row's annotations, then every target word in turn, in float64."""
  spec = ZOO["rnnsearch/tiny"].spec()
  source, target = tokens_of(spec, 1, 5), tokens_of(spec)
  out = logits(spec, {"encoder_input_tokens": source, "decoder_input_tokens": target})
  p = {name: np.float64(value) for name, value in values_of(spec).items()}
  table, zero = p["token_embedder/embedding"], np.zeros(16)
  for row in range(ROWS):
    forward, backward = [zero], [zero]
    for word in source[row]:
      forward.append(gru(p, "encoder/forward/cell_0", table[word], forward[-1]))
    for word in source[row, ::-1]:
      backward.append(gru(p, "encoder/backward/cell_0", table[word], backward[-1]))
    h = np.concatenate([forward[1:], backward[:0:-1]], axis=1)
    s = np.tanh(h[0, 16:] @ p["decoder/start/kernel"] + p["decoder/start/bias"])
    for at, word in enumerate(target[row]):
      asked = np.tanh(s @ p["decoder/ask/kernel"] + h @ p["decoder/answer/kernel"])
      e = asked @ p["decoder/score"]
      c = np.exp(e) / np.exp(e).sum() @ h
      t = (
        s @ p["decoder/from_state/kernel"] + table[word] @ p["decoder/from_word/kernel"]
      )
      t += c @ p["decoder/from_context/kernel"] + p["decoder/from_context/bias"]
      y = np.maximum(t[:24], t[24:]) @ p["head/kernel"] + p["head/bias"]
      np.testing.assert_allclose(out[row, at], y, atol=CLOSE)
      s = gru(p, "decoder/cell", table[word], s, c @ p["decoder/context/kernel"])


@pytest.mark.parametrize("name", ["nnlm", "lstm", "seq2seq", "rnnsearch"])
def test_half_precision_runs_and_stays_near(name):
  spec = ZOO[f"{name}/tiny"].spec()
  batch = {"decoder_input_tokens": tokens_of(spec)}
  if isinstance(spec, EncoderDecoder):
    batch["encoder_input_tokens"] = tokens_of(spec, 1, 5)
  exact = logits(spec, batch)
  near = logits(spec, batch, Execution(compute_dtype="bfloat16"))
  # bfloat16 keeps 8 bits: sums of some tens of terms of order one.
  assert 0 < np.abs(near - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("name", ["nnlm", "lstm"])
def test_generation_from_prompts_of_two_lengths_is_that_of_whole_passes(name):
  """What padding a shorter prompt was read with leaves no trace in its state."""
  spec, lengths, new = ZOO[f"{name}/tiny"].spec(), np.int32([2, 5]), 3
  prompts = tokens_of(spec, width=5) * (np.arange(5) < lengths[:, None])
  batch = {"prompt_tokens": prompts, "prompt_lengths": lengths}
  how = Generation(tokens=new, eos=-1, ids=spec.vocab)
  params = nested(values_of(spec))
  out, _ = generate(spec.build(), how, Execution(), params, batch, jax.random.key(0))
  for row, length in enumerate(lengths):
    # Behind a beginning, which is id 0.
    text = [0, *prompts[row, :length].tolist(), *out[row].tolist()]
    full = logits(spec, {"decoder_input_tokens": np.int32([text])})[0]
    assert full[length : length + new].argmax(-1).tolist() == out[row].tolist()
