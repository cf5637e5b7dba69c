"""gin_configs/objectives/: every file builds, and the lengths it states fit."""

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from t5x_like import config
from t5x_like.data.objectives.ids import Ids

FOLDER = Path(__file__).resolve().parents[3] / "gin_configs" / "objectives"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.gin"))
PLAIN = {"text", "sentence_starts", "inputs", "targets"}


class Vocabulary:
  """Characters; a special token in brackets is one id below the sentinels."""

  unk_id = None

  def encode(self, text):
    if re.fullmatch(r"<[^<>]+>|\[[^][]+\]", text):
      return np.array([1000 + zlib.crc32(text.encode()) % 600])
    return np.array([ord(each) for each in text], int)

  def decode(self, ids):
    return "".join(map(chr, ids))


IDS = Ids(
  eos=1,
  first_sentinel=1999,
  sentinels=300,
  size=2000,
  base_size=1000,
  vocabulary=Vocabulary(),
)


def task(name):
  files = ["models/t5_1_1/tiny.gin", "runs/pretrain.gin", f"objectives/{name}"]
  given = {
    "MIXTURE_OR_TASK_NAME": "'text_files'",
    "TEXT_FILES": "'/nowhere/*.txt'",
    "TASK_FEATURE_LENGTHS": repr(lengths(name)),
    "TRAIN_STEPS": 10,
    "MODEL_DIR": "'/nowhere'",
  }
  bindings = [f"{macro} = {value}" for macro, value in given.items()]
  return config.parse(files, bindings).build().task


def lengths(name):
  """The first lengths of the comment."""
  comment = re.sub(r"\n# ?", " ", (FOLDER / name).read_text())
  return ast.literal_eval(re.search(r"Lengths(?: that fit)?: (\{.*?\})", comment)[1])


def made(objective, sizes, seed):
  """What the objective makes of random ids; the random numbers belong to the example."""
  rng = np.random.default_rng(seed)
  chunk = objective.chunk(sizes, IDS) or 300
  example = {
    field: rng.integers(3, 900, chunk).astype(np.int32) for field in objective.fields
  }
  if "sentence_starts" in example:
    example["sentence_starts"] = (np.arange(chunk) % 20 == 0).astype(np.int32)
  return objective(example, rng, IDS, sizes)


@pytest.mark.parametrize("name", FILES)
def test_examples_of_the_stated_lengths_fill_rows_of_the_layout(name):
  sizes = lengths(name)
  for leaf in task(name).leaves:
    layout, objective = leaf.layout, leaf.objective
    blank = {key: value.shape for key, value in layout.row([], sizes, True).items()}
    assert (objective.chunk(sizes, IDS) or 300) > 1
    if not set(objective.fields) <= PLAIN:
      continue
    for seed in range(3):
      row = layout.row([made(objective, sizes, seed)], sizes, False)
      assert {key: value.shape for key, value in row.items()} == blank


def digests():
  """A hash of three examples of every file whose fields are plain ids."""
  found = {}
  for name in FILES:
    total = hashlib.sha256()
    for leaf in task(name).leaves:
      if set(leaf.objective.fields) <= PLAIN:
        for seed in range(3):
          example = made(leaf.objective, lengths(name), seed)
          for key in sorted(example):
            total.update(key.encode() + np.asarray(example[key]).tobytes())
    found[name] = total.hexdigest()
  return found


def test_every_objective_makes_the_same_in_another_process():
  """As a worker would: a process of its own, with other hashes of strings."""
  program = "import json, test_objective_files as t; print(json.dumps(t.digests()))"
  done = subprocess.run(
    [sys.executable, "-c", program],
    env=os.environ | {"PYTHONHASHSEED": "7"},
    cwd=Path(__file__).parent,
    capture_output=True,
    text=True,
    check=True,
  )
  theirs = json.loads(done.stdout.splitlines()[-1])
  assert len(theirs) == len(FILES) and theirs == digests()


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_at_most_ten_lines_beside_comments_and_imports(name):
  lines = (FOLDER / name).read_text().splitlines()
  code = [
    line for line in lines if line and not line.startswith(("#", "from ", "import"))
  ]
  assert len(code) <= 10


# t5/models/gin/objectives; `denoise` is iid_15_m_f and `span` is span_3_15_u_u.
GRID = {"lm", "prefix_lm", "all_permute", "iid_15_m_f", "iid_15_r10s90_f", "iid_15_d_d"}
GRID |= {f"iid_{percent}_u_u" for percent in (10, 15, 25, 50)}
GRID |= {f"span_{mean}_15_u_u" for mean in (2, 3, 5, 10)}


def test_every_row_of_t5s_grid_has_its_file():
  assert {Path(name).stem for name in FILES if "t5_grid" in name} == GRID
