"""Speed of the data path beside SentencePiece alone, on the same text and one core.

  python benchmarks/data_path.py [--data_dir DIR]

Three figures on the built-in corpus, single process pinned to one core: SentencePiece
encoding alone; tokenizing into a cache and then making corrupted rows (inputs 512,
targets 114) from it, as a run's first epoch does; and rows from a cache that exists, as
every later epoch does. Raw tokens a second; compare the ratios.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time

from t5x_like.data import sources, vocab
from t5x_like.data.objectives.span_corruption import SpanCorruption
from t5x_like.data.pipeline import Pipeline
from t5x_like.data.task import Task
from t5x_like.data.tokens import TokenCache

LENGTHS = {"inputs": 512, "targets": 114}
CHUNK = 568  # raw tokens of such a row
ROWS = 128


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--data_dir", default="~/.cache/t5x_like")
  parser.add_argument("--vocabulary", type=int, default=8192)
  options = parser.parse_args()
  data_dir = os.path.expanduser(options.data_dir)
  os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
  source = sources.Tfds("python_docs", "train").located(data_dir)
  trained = vocab.TrainedSentencePiece("python_docs", options.vocabulary)
  vocabulary = trained.resolve(source, data_dir=data_dir)
  texts = [record["text"] for record in source.records()]

  vocabulary.encode_batch(texts[:8])  # loads the model
  begin = time.perf_counter()
  count = sum(len(ids) for ids in vocabulary.encode_batch(texts))
  alone = time.perf_counter() - begin

  folder = tempfile.mkdtemp()
  begin = time.perf_counter()
  TokenCache.open_or_build(source, vocabulary, data_dir=folder)
  cached = time.perf_counter() - begin
  task = Task(
    name="benchmark", train=source, vocabulary=vocabulary, objective=SpanCorruption()
  )
  pipeline = Pipeline(task, lengths=LENGTHS, batch=ROWS, seed=0, data_dir=folder)
  batches = pipeline.batches()
  next(batches)
  steps = max(20, count // (CHUNK * ROWS))
  begin = time.perf_counter()
  for _ in range(steps):
    next(batches)
  rows = (time.perf_counter() - begin) / (steps * ROWS * CHUNK)
  shutil.rmtree(folder)

  whole = cached / count + rows
  print(f"{count:,} tokens of {len(texts):,} documents")
  print(f"SentencePiece alone         {count / alone / 1e6:6.2f} M tokens/s")
  print(
    f"read, tokenize, corrupt     {1 / whole / 1e6:6.2f} M tokens/s  "
    f"{alone / count / whole:.2f} of SentencePiece"
  )
  print(
    f"corrupt from a cache        {1 / rows / 1e6:6.2f} M tokens/s  "
    f"{alone / count / rows:.2f} of SentencePiece"
  )


if __name__ == "__main__":
  main()
