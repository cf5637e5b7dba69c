"""The verb `import`: a Hugging Face folder becomes a run directory.

You are in: t5x_like/interop, the edge. What it leaves in --model_dir:

    model.gin        MODEL, for a run that goes on from here
    vocabulary.gin   VOCABULARY, for that run's task
    config.gin       what `infer`, `eval`, `inspect` and `export` read
    checkpoints/0/   the parameters
    huggingface/     config.json and tokenizer as they came, for `export`
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

import numpy as np

from models.components import param
from models.components.model import Decoder, EncoderDecoder
from models.components.position import Learned
from t5x_like import config as gin_config
from t5x_like.checkpoint import Checkpointer
from t5x_like.interop import gin_model, hf, tokenizer
from t5x_like.interop.attributes import read_json
from t5x_like.interop.formats.index import FORMATS
from t5x_like.interop.names import to_ours
from t5x_like.interop.weights import Tensors

LENGTHS = {EncoderDecoder: {"inputs": 512, "targets": 114}, Decoder: {"targets": 1024}}
TASKS = {EncoderDecoder: "text_files", Decoder: "text_files_causal_lm"}
ORIGINALS = ("config.json", "generation_config.json")


def import_model(source: Path, target: Path) -> dict[str, object]:
  """Imports; returns what was done, for the user.

  Raises:
    ValueError: the folder is not complete, or means something that ours cannot do.
  """
  if target.exists() and any(target.iterdir()):
    raise ValueError(f"--model_dir={target} is not empty; give a new folder.")
  config = read_json(source / "config.json")
  format = hf.find(config, FORMATS)
  tensors = Tensors(source, prefix=format.prefix, unused=format.unused)
  made = format.made(config, set(tensors))
  spec = made.spec()
  declared = param.declarations(spec)
  rows = list(format.rows(spec))
  _check_stored(tensors, {n for row in rows for n in row.theirs}, format)
  params = to_ours(rows, tensors, declared)
  originals = target / "huggingface"
  originals.mkdir(parents=True)
  for name in ORIGINALS:
    if (source / name).is_file():
      shutil.copyfile(source / name, originals / name)
  tokenizer.copy(source, originals)
  dtype = next(iter(tensors.dtypes)) if len(tensors.dtypes) == 1 else "float32"
  (originals / "imported.json").write_text(json.dumps({"dtype": dtype}) + "\n")
  _save(target, params)
  whole = _write_gin(target, made, spec, config)
  return {
    "model_type": format.model_type,
    "parameters": sum(d.size for d in declared.values()),
    "dtype": dtype,
    "model_dir": str(target),
    "vocabulary": whole,
  }


def _check_stored(tensors: Tensors, wanted: set[str], format: hf.Format) -> None:
  """ValueError for tensors that have no place in the model: it would not be the same."""
  extra = []
  for name in set(tensors) - wanted:
    first = next((to for p, to in format.copies if re.fullmatch(p, name)), None)
    if first is None:
      extra.append(name)
    elif not np.array_equal(tensors[name], tensors[first]):
      raise ValueError(
        f"The tensors {name} and {first} differ, where config.json says that they are one."
      )
  if extra:
    shown = ", ".join(sorted(extra)[:5])
    raise ValueError(
      f"{len(extra)} stored tensors have no place in the model that config.json "
      f"describes: {shown}. It would not compute the same without them."
    )


def _save(target: Path, params: dict[str, np.ndarray]) -> None:
  with Checkpointer(target / "checkpoints") as checkpoints:
    checkpoints.save(0, {"params": param.nested(params)}, data={}, meta={})


def _write_gin(target: Path, made: hf.Made, spec: object, config: dict) -> bool:
  """Writes the gin files; whether there is a tokenizer, without which nothing is read
  or written as text."""
  count = sum(d.size for d in param.declarations(spec).values())
  comment = (
    f"Imported from a {config['model_type']} of transformers: {count:,} parameters."
  )
  model = target / "model.gin"
  model.write_text(gin_model.text(made.build, made.arguments, comment=comment))
  vocabulary = tokenizer.gin(target.absolute() / "huggingface", config)
  if vocabulary is None or type(spec) not in TASKS:
    shutil.copyfile(model, target / "config.gin")
    return False
  own = target / "vocabulary.gin"
  own.write_text(vocabulary)
  lengths = _lengths(spec)
  parsed = gin_config.parse(
    [str(model.absolute()), "runs/infer.gin", str(own.absolute())],
    [
      f"MIXTURE_OR_TASK_NAME = {TASKS[type(spec)]!r}",
      f"TASK_FEATURE_LENGTHS = {json.dumps(lengths)}",
      f"CHECKPOINT_PATH = {str(target)!r}",
      "TEXT_FILES = 'no text was given'",
    ],
  )
  parsed.build()
  (target / "config.gin").write_text(parsed.text())
  return True


def _lengths(spec: object) -> dict[str, int]:
  lengths = dict(LENGTHS[type(spec)])
  position = spec.embed.position
  if isinstance(position, Learned):
    # A prompt and what is generated after it share the table.
    room = position.length - position.offset
    lengths["targets"] = min(lengths["targets"], room // 2)
  return lengths


def verb(arguments: argparse.Namespace) -> int:
  """Runs the verb."""
  source = Path(arguments.source).expanduser()
  if not source.is_dir():
    raise ValueError(f"--from={arguments.source} is no folder.")
  done = import_model(source, Path(arguments.model_dir).expanduser())
  if arguments.json:
    print(json.dumps(done))
    return 0
  print(
    f"{done['parameters']:,} parameters of a {done['model_type']} ({done['dtype']}) are in "
    f"{done['model_dir']}."
  )
  if not done["vocabulary"]:
    print("It has no tokenizer that is known here: its task needs a VOCABULARY.")
    return 0
  folder = done["model_dir"]
  print(f'Try:   t5x_like infer --model_dir={folder} --prompt="..."')
  print(
    f"Tune:  t5x_like train --gin_file={folder}/model.gin --gin_file=runs/finetune.gin "
    f"--gin_file={folder}/vocabulary.gin --gin.INITIAL_CHECKPOINT_PATH={folder} ..."
  )
  return 0
