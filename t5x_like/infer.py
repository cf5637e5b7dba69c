"""Inference: text in, text out, with any model this project trains.

You are in: t5x_like. Used by the `infer` verb, and by the loop for the samples it
writes at every evaluation. `Writer` turns lines of text into rows for `generate`.

An encoder-decoder reads its input through the encoder; `<extra_id_0>` in the text is
the sentinel of that number, so "The function returns <extra_id_0> if ..." asks for the
words that are missing. A decoder continues the text.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator

import jax
import numpy as np

from models.components.mask import PrefixCausal
from models.components.model import EncoderDecoder
from t5x_like import evaluate
from t5x_like.data.pipeline import vocabulary_of
from t5x_like.decode.generate import Generation, generate
from t5x_like.decode.sampling import Sampling
from t5x_like.engine import Engine
from t5x_like.run import Run

# A space before a sentinel belongs to it: spans are cut between pieces, and pieces carry
# the space in front of them.
SENTINEL = re.compile(r"( ?<extra_id_\d+>)")


@dataclasses.dataclass(frozen=True)
class Written:
  """One result: the input text, the output text, its ids and summed log-probability."""

  input: str
  prediction: str
  prediction_tokens: list[int]
  score: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Writer:
  """Generates text with one model.

  length: input tokens a row may have; longer inputs raise ValueError. tokens: at most
  this many are generated. decodes: samples for each input.
  """

  engine: Engine
  vocabulary: object
  length: int
  tokens: int
  sampling: Sampling = Sampling()
  decodes: int = 1
  rows: int = 8

  def __call__(self, params: dict, texts: list[str], *, seed: int) -> Iterator[Written]:
    """Yields `decodes` results for each text, in order."""
    repeated = [text for text in texts for _ in range(self.decodes)]
    key = jax.random.key(seed)
    for start in range(0, len(repeated), self.rows):
      group = repeated[start : start + self.rows]
      batch = self._batch([self.encode(text) for text in group])
      out, scores = self.generate(params, batch, jax.random.fold_in(key, start))
      for text, ids, score in zip(group, out.tolist(), scores.tolist(), strict=False):
        yield Written(text, self.vocabulary.decode(ids), ids, score)

  def generate(
    self, params: dict, batch: dict[str, np.ndarray], key: jax.Array
  ) -> tuple[np.ndarray, np.ndarray]:
    """(ids [B, N], log-probabilities [B]); see `decode.generate`."""
    execution = dataclasses.replace(self.engine.run.execution, attention="auto")
    made = generate(self.engine.module, self._generation, execution, params, batch, key)
    return jax.device_get(made)

  def encode(self, text: str) -> list[int]:
    """Ids of a text whose `<extra_id_n>` stand for sentinels."""
    ids: list[int] = []
    for piece in SENTINEL.split(text):
      if SENTINEL.fullmatch(piece):
        ids.append(self.vocabulary.sentinel(int(piece.strip()[len("<extra_id_") : -1])))
      elif piece:
        ids.extend(int(i) for i in self.vocabulary.encode(piece))
    if self._encoder:
      ids.append(self.vocabulary.eos_id)
    if len(ids) > self.length:
      raise ValueError(
        f"The input {text[:40]!r}... has {len(ids)} tokens, the model's inputs have "
        f"{self.length}. Shorten it."
      )
    return ids

  @functools.cached_property
  def _encoder(self) -> bool:
    return isinstance(self.engine.run.model, EncoderDecoder)

  @functools.cached_property
  def _generation(self) -> Generation:
    masks = [block.attention.mask for block in self.engine.run.model.decoder.blocks]
    return Generation(
      tokens=self.tokens,
      eos=self.vocabulary.eos_id,
      bos=self.vocabulary.bos_id,
      ids=self.vocabulary.size,
      sampling=self.sampling,
      bidirectional_prompt=any(isinstance(mask, PrefixCausal) for mask in masks),
    )

  def _batch(self, rows: list[list[int]]) -> dict[str, np.ndarray]:
    """Fixed shapes, whatever the texts, so that one compilation serves them all."""
    rows = rows + [[]] * (self.rows - len(rows))
    tokens = np.zeros((self.rows, self.length), np.int32)
    for row, ids in enumerate(rows):
      tokens[row, : len(ids)] = ids
    lengths = np.array([len(ids) for ids in rows], np.int32)
    if not self._encoder:
      return {"prompt_tokens": tokens, "prompt_lengths": lengths}
    return {
      "prompt_tokens": np.zeros((self.rows, 0), np.int32),
      "prompt_lengths": np.zeros(self.rows, np.int32),
      "encoder_input_tokens": tokens,
      "encoder_segment_ids": (np.arange(self.length)[None] < lengths[:, None]).astype(
        np.int32
      ),
    }


def generates(model: object) -> bool:
  """Whether the model writes text: it has a decoder."""
  return hasattr(model, "decoder")


def infer(
  run: Run,
  texts: list[str],
  *,
  checkpoint: str,
  step: int | None = None,
  sampling: Sampling = Sampling(),
  decodes: int = 1,
  tokens: int | None = None,
  seed: int = 0,
) -> Iterator[Written]:
  """What the `infer` verb writes, `decodes` results for each text, in order.

  tokens: at most this many are generated; by default as many as targets have. Raises
  ValueError for a model without a decoder.
  """
  if not generates(run.model):
    raise ValueError(
      f"{type(run.model).__name__} has no decoder: it answers in place and generates no "
      "text. `t5x_like eval` scores it; use a decoder or an encoder-decoder to generate."
    )
  engine = Engine(run)
  params = evaluate.trained(engine, checkpoint, step)
  vocabulary = vocabulary_of(run.task, run.data_dir)
  writer = Writer(
    engine=engine,
    vocabulary=vocabulary,
    length=_input_length(run),
    tokens=tokens or run.lengths["targets"],
    sampling=sampling,
    decodes=decodes,
    rows=min(8, max(1, len(texts) * decodes)),
  )
  return writer(params, texts, seed=seed)


def continue_rows(
  engine: Engine,
  params: dict,
  batch: dict[str, np.ndarray],
  *,
  vocabulary: object,
  count: int,
) -> list[dict[str, str]]:
  """What the model writes for the first `count` rows of a batch, beside the truth.

  A decoder gets the first half of its row as a prompt.
  """
  rows = {name: values[:count] for name, values in batch.items()}
  targets = rows["decoder_target_tokens"]
  count, length = targets.shape
  if "encoder_input_tokens" in rows:
    shown, wanted = rows["encoder_input_tokens"], targets
    prompt = np.zeros((count, 0), np.int32)
  else:
    shown, wanted = targets[:, : length // 2], targets[:, length // 2 :]
    prompt = shown
  inputs = {
    "prompt_tokens": prompt,
    "prompt_lengths": np.full(count, prompt.shape[1], np.int32),
  } | {k: v for k, v in rows.items() if k.startswith("encoder_")}
  writer = Writer(
    engine=engine, vocabulary=vocabulary, length=length, tokens=wanted.shape[1]
  )
  out, scores = writer.generate(params, inputs, jax.random.key(0))
  decode = vocabulary.decode
  return [
    {
      "inputs": decode(shown[i]),
      "prediction": decode(out[i]),
      "targets": decode(wanted[i]),
      "score": float(scores[i]),
    }
    for i in range(count)
  ]


def _input_length(run: Run) -> int:
  """Tokens of the longest input a model was trained with."""
  if isinstance(run.model, EncoderDecoder):
    return run.lengths["inputs"]
  return run.lengths.get("inputs", run.lengths["targets"])


def filled(text: str, prediction: str) -> str:
  """The input with every sentinel replaced by what the model put there, in brackets."""
  parts = SENTINEL.split(prediction)
  answers = {
    sentinel.strip(): answer.strip()
    for sentinel, answer in zip(parts[1::2], parts[2::2], strict=False)
  }

  def answer(match: re.Match) -> str:
    space = " " if match.group(1).startswith(" ") else ""
    return f"{space}[{answers.get(match.group(1).strip(), '')}]"

  return SENTINEL.sub(answer, text)
