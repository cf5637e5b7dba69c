"""Tokens per second and core from text to batches, beside SentencePiece alone.

  python benchmarks/data_path.py [--data_dir ~/.cache/t5x_like] [--save_text FILE]

Reads the built-in corpus, tokenizes it into a cache and makes batches of 128 rows, all on
one core. Tokens are those of the text. Reading and tokenizing happen once for a text and a
vocabulary; the rows are made anew in every epoch. `rows / tokenizing` is what everything
after tokenization costs in terms of it. SeqIO: seqio_data_path.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time

from t5x_like.data import sources, vocab
from t5x_like.data.layouts import CausalDecoder, EncoderDecoder
from t5x_like.data.layouts_encoder import Encoder
from t5x_like.data.objectives import causal_lm, fim, mlm, span_corruption, ul2
from t5x_like.data.pipeline import Pipeline
from t5x_like.data.task import Task

ROWS = 128
T5, UL2 = {"inputs": 512, "targets": 114}, {"inputs": 512, "targets": 512}
# Sentinels that no span uses stand for mode and mask tokens.
ONE, TWO, THREE = "<extra_id_197>", "<extra_id_198>", "<extra_id_199>"
FIM = dict(prefix=ONE, suffix=TWO, middle=THREE)
CASES = {
  "span corruption": (span_corruption.SpanCorruption(), EncoderDecoder(), T5),
  "causal LM": (causal_lm.CausalLM(), CausalDecoder(), {"targets": 2048}),
  "UL2": (
    ul2.UL2(regular=ONE, sequential=TWO, extreme=THREE),
    EncoderDecoder(),
    UL2,
  ),
  "MLM": (mlm.MaskedLM(mask=ONE, cls=TWO, sep=THREE), Encoder(), {"inputs": 512}),
  "FIM, tokens": (
    fim.FIM(split=fim.Tokens(), **FIM),
    CausalDecoder(),
    {"targets": 2048},
  ),
  "FIM, characters": (
    fim.FIM(split=fim.Characters(), **FIM),
    CausalDecoder(),
    {"targets": 2048},
  ),
}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--data_dir", default="~/.cache/t5x_like")
  parser.add_argument("--vocabulary", type=int, default=8192)
  parser.add_argument("--save_text", help="write the text as JSON lines and end")
  options = parser.parse_args()
  data_dir = os.path.expanduser(options.data_dir)
  source = sources.Tfds("python_docs", "train").located(data_dir)
  trained = vocab.TrainedSentencePiece("benchmark", options.vocabulary, extra_ids=200)
  vocabulary = trained.resolve(source, data_dir=data_dir)
  texts = [record["text"] for record in source.records()]
  if options.save_text:
    with open(options.save_text, "w") as file:
      file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    print(vocabulary)
    return
  os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
  vocabulary.encode_batch(texts[:8])  # loads the model
  begin = time.perf_counter()
  count = sum(len(ids) for ids in vocabulary.encode_batch(texts))
  alone = (time.perf_counter() - begin) / count
  print(f"{count:,} tokens of {len(texts):,} documents")
  print(f"{'SentencePiece alone':24s}{1e-6 / alone:7.2f} M tokens/s")
  for name, (objective, layout, lengths) in CASES.items():
    folder = tempfile.mkdtemp()
    task = Task(
      name="benchmark",
      train=source,
      vocabulary=vocabulary,
      objective=objective,
      layout=layout,
    )
    begin = time.perf_counter()
    made = Pipeline(task, lengths=lengths, batch=ROWS, seed=0, data_dir=folder)
    tokenizing = (time.perf_counter() - begin) / count
    rows = seconds_a_token(made)
    whole = tokenizing + rows
    print(
      f"{name:24s}{1e-6 / whole:7.2f} M tokens/s, {alone / whole:.2f} of SentencePiece; "
      f"rows alone {1e-6 / rows:6.1f} M tokens/s, rows / tokenizing {rows / alone:.2f}"
    )
    shutil.rmtree(folder)


def seconds_a_token(pipeline: Pipeline) -> float:
  """Of the text that the rows are made of, for at least 3,000 rows."""
  (stage,) = pipeline.opened
  shares = dict(zip(map(id, stage.parts), stage.rates, strict=True))
  tokens = sum(part.chunk * shares[id(part)] for part in stage.parts)
  batches = pipeline.batches()
  next(batches)
  steps = max(8, 3000 // ROWS)
  begin = time.perf_counter()
  for _ in range(steps):
    next(batches)
  return (time.perf_counter() - begin) / (steps * ROWS * tokens)


if __name__ == "__main__":
  main()
