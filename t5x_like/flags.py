"""Flags: what may stand on the command line, with a working example for every verb.

You are in: t5x_like, pure part (standard library only: `--help` must answer at once).
Downstream: main.py. Flags are T5X's where T5X has them, so that its users can type from
memory. A choice that changes results is no flag: it belongs into gin.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from t5x_like.interop import flags as interop
from t5x_like.launching import flags as launching
from t5x_like.statements import COMMAND_LINE, ConfigError, nearest
from t5x_like.study import flags as study

EXAMPLES = {
  "train": """\
  t5x_like train --gin_file=models/t5_1_1/small.gin --gin_file=runs/pretrain.gin \\
    --gin.MIXTURE_OR_TASK_NAME=python_docs --gin.MODEL_DIR=/tmp/run \\
    --gin.TASK_FEATURE_LENGTHS="{'inputs': 512, 'targets': 114}" --gin.TRAIN_STEPS=10000

The same command again continues the run. --dry_run shows what would be trained.""",
  "eval": """\
  t5x_like eval --model_dir=/tmp/run
  t5x_like eval --model_dir=/tmp/run --step=5000 --gin.EVAL_STEPS=None --json""",
  "infer": """\
  t5x_like infer --model_dir=/tmp/run --prompt="The function returns <extra_id_0>." --fill
  t5x_like infer --model_dir=/tmp/run --input=questions.txt --output=answers.jsonl \\
    --temperature=0.7 --topp=0.9""",
  "inspect": """\
  t5x_like inspect --gin_file=models/t5_1_1/small.gin
  t5x_like inspect --model_dir=/tmp/run --json
  t5x_like inspect --gin_file=models/llama2/7b.gin --gin_file=runs/pretrain.gin ... \\
    --devices=8 --gin.mesh.Mesh.fsdp=8""",
  "plan": """\
  t5x_like plan --gin_file=models/llama2/70b.gin --gin_file=runs/pretrain.gin \
    --gin.MIXTURE_OR_TASK_NAME=python_docs_causal_lm --gin.MODEL_DIR=unused \
    --gin.TASK_FEATURE_LENGTHS="{'targets': 4096}" --gin.TRAIN_STEPS=1000 \
    --gin.BATCH_SIZE=1024 --gin.ACTIVATION_DTYPE=bfloat16 \
    --gin.execution.Execution.remat=full --gin.PARTITIONING_RULES=fsdp_tensor \
    --gin.mesh.Mesh.fsdp=64 --gin.mesh.Mesh.tensor=8 --chip=h100 --devices=512

--search=4 tries meshes and rematerialization by itself and compiles four that fit.""",
  "data preview": """\
  t5x_like data preview --gin_file=data/text_files.gin --gin.TEXT_FILES='books/*.txt' \\
    --gin.TASK_FEATURE_LENGTHS="{'inputs': 128, 'targets': 30}"
  t5x_like data preview --model_dir=/tmp/run --rows=8 --step=5000""",
  "data stats": """\
  t5x_like data stats --gin_file=data/text_files.gin --gin.TEXT_FILES='books/*.txt' \\
    --gin.TASK_FEATURE_LENGTHS="{'inputs': 128, 'targets': 30}" --batches=100""",
  "data cache": """\
  t5x_like data cache --gin_file=data/text_files.gin --gin.TEXT_FILES='books/*.txt' \\
    --output=/data/books""",
  "data train-tokenizer": """\
  t5x_like data train-tokenizer --gin_file=data/text_files.gin \\
    --gin.TEXT_FILES='books/*.txt' --gin.VOCABULARY_SIZE=16000 --output=books.model""",
  **study.EXAMPLES,
  **interop.EXAMPLES,
  **launching.EXAMPLES,
}
SUMMARIES = {
  "train": "Train a model, or continue a run.",
  "eval": "Loss and accuracy of a trained model on held-out data.",
  "infer": "Text in, text out, with a trained model.",
  "inspect": "What a configuration means: model, parameters, memory, FLOPs.",
  "plan": "Memory, communication and step time on devices that are not here.",
  "data preview": "Examples as the model gets them, as text.",
  "data stats": "Documents, tokens, lengths, packing, and what each task gives.",
  "data cache": "Tokenize now; with --output, into files that can be carried elsewhere.",
  "data train-tokenizer": "Train a task's vocabulary and measure it.",
  **study.SUMMARIES,
  **interop.SUMMARIES,
  **launching.SUMMARIES,
}


class _Parser(argparse.ArgumentParser):
  """argparse that reports mistakes as ConfigError and does not guess at prefixes."""

  def __init__(self, **arguments):
    super().__init__(
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
      **arguments,
    )

  def error(self, message: str):
    raise ConfigError(f"{message} (t5x_like --help shows examples)")


def parse_arguments(words: Sequence[str]) -> argparse.Namespace | None:
  """Flags of one verb; None when help was asked for and has been printed."""
  launched: list[str] = []  # kept as it was typed
  if words and words[0] == "launch" and "--" in words:
    launched, words = words[words.index("--") + 1 :], words[: words.index("--")]
  words = rewrite_gin_flags(words)
  if words and words[0].startswith("--run_mode="):  # as T5X's main.py is called
    words[0] = words[0].partition("=")[2]
  if not words or words[0] in ("-h", "--help", "help"):
    print(overview())
    return None
  if words[0] in ("data", "study"):
    kind, words = words[0], [" ".join(words[:2]), *words[2:]]
    if words[0] in (kind, f"{kind} -h", f"{kind} --help"):
      print(overview(f"{kind} "))
      return None
  verb = words[0]
  if verb not in SUMMARIES:
    raise ConfigError(f"unknown verb {verb!r}{nearest(verb, SUMMARIES)}")
  parser = verb_parser(verb)
  if "--help" in words or "-h" in words:
    parser.print_help()
    return None
  arguments, unknown = parser.parse_known_args(words[1:])
  if unknown:
    flag = unknown[0].split("=")[0]
    flags = [o for a in parser._actions for o in a.option_strings if o[:2] == "--"]
    raise ConfigError(f"unknown flag {flag!r} of {verb}{nearest(flag, flags)}")
  arguments.verb, arguments.command = verb, launched
  if getattr(arguments, "tfds_data_dir", None) is not None:
    print("--tfds_data_dir is deprecated; use --data_dir.", file=sys.stderr)
    arguments.data_dir = arguments.data_dir or arguments.tfds_data_dir
  return arguments


def rewrite_gin_flags(words: Sequence[str]) -> list[str]:
  """--gin.NAME=VALUE -> --gin_bindings=NAME = VALUE (T5X gin_utils.rewrite_gin_args).

  Raises ConfigError when a `--gin.` flag has no "=".
  """
  rewritten = []
  for word in words:
    if word.startswith("--gin."):
      name, equals, value = word.removeprefix("--gin.").partition("=")
      if not equals:
        raise ConfigError(f"{COMMAND_LINE}: {word} must be --gin.NAME=VALUE.")
      word = f"--gin_bindings={name} = {value}"
    rewritten.append(word)
  return rewritten


def overview(kind: str = "") -> str:
  """What `t5x_like --help` prints; of the verbs that begin with `kind`."""
  verbs = {verb: text for verb, text in SUMMARIES.items() if verb.startswith(kind)}
  lines = ["usage: t5x_like VERB [flags]", "", "Language-model research in JAX.", ""]
  lines += [f"  {verb:<21} {text}" for verb, text in verbs.items()]
  lines += ["", "t5x_like VERB --help shows all flags. Examples:"]
  for verb in verbs:
    lines += ["", EXAMPLES[verb]]
  return "\n".join(lines)


def verb_parser(verb: str) -> argparse.ArgumentParser:
  """The flags of a verb."""
  parser = _Parser(
    prog=f"t5x_like {verb}",
    description=SUMMARIES[verb],
    epilog=f"Example:\n{EXAMPLES[verb]}",
    usage=f"t5x_like {verb} [flags]",
  )
  if verb in study.SUMMARIES:
    study.add_flags(parser, verb)
  elif verb in interop.SUMMARIES:
    interop.add_flags(parser, verb)
  elif verb in launching.SUMMARIES:
    launching.add_flags(parser, verb)
  else:
    _add_run_flags(parser, verb)
  parser.add_argument("--json", action="store_true", help="machine-readable output")
  parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
  return parser


def _add_run_flags(parser: argparse.ArgumentParser, verb: str) -> None:
  """Of verbs that read gin files or the directory of a run."""
  _add_gin_flags(parser)
  if verb == "train":
    parser.set_defaults(model_dir=None, step=None)
  else:
    parser.add_argument("--model_dir", help="a run: its config.gin is read first")
  if verb in ("eval", "infer", "inspect"):
    parser.add_argument("--step", type=int, help="checkpoint to use (default: latest)")
  if verb == "infer":
    _add_infer_flags(parser)
  if verb in ("train", "eval", "infer"):
    parser.add_argument("--dry_run", action="store_true", help="inspect, do not run")
    _add_host_flags(parser)
  else:
    parser.set_defaults(dry_run=False)
  if verb.startswith("data "):
    _add_data_flags(parser, verb)
  if verb == "plan":
    _add_plan_flags(parser)


def _add_gin_flags(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("--gin_file", action="append", default=[], help="gin file; repeat, later wins")
  # Listed for --help; `rewrite_gin_flags` has turned it into --gin_bindings.
  add("--gin.NAME", metavar="VALUE", dest="gin_name", help="bind a macro or parameter")
  add("--gin_bindings", action="append", default=[], help='the same, "NAME = VALUE"')
  add(
    "--gin_search_paths",
    action="append",
    default=[],
    help="folders to look for gin files in, comma-separated, before the shipped ones",
  )
  add("--data_dir", help="where prepared data and token caches are kept")
  add("--tfds_data_dir", help=argparse.SUPPRESS)
  add("--alsologtostderr", action="store_true", help=argparse.SUPPRESS)  # always so
  add("--devices", type=int, help="simulate this many CPU devices")


def _add_infer_flags(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("--prompt", action="append", default=[], help="an input text; repeat for more")
  add("--input", help="file with one input a line, - for standard input")
  add("--output", help="write JSON lines to this file")
  add("--fill", action="store_true", help="print inputs with their blanks filled in")
  add("--temperature", type=float, default=0.0, help="0 takes the most probable token")
  add("--topk", type=int, default=0, help="sample from the k most probable tokens")
  add("--topp", type=float, default=0.0, help="... from the smallest set of this mass")
  add("--num_decodes", type=int, default=1, help="results for each input")
  add("--max_decode_len", type=int, help="most tokens generated (default: targets)")
  add("--seed", type=int, default=0, help="of the sampling")


def _add_data_flags(parser: argparse.ArgumentParser, verb: str) -> None:
  add = parser.add_argument
  if verb == "data preview":
    add("--rows", type=int, default=3, help="rows to print")
    add("--step", type=int, default=0, help="the batch they begin with")
    add("--split", choices=("train", "validation"), default="train")
  elif verb == "data stats":
    add(
      "--batches", type=int, default=20, help="batches to make for packing and shares"
    )
  elif verb == "data cache":
    add("--output", help="folder to write ArrayRecord files and their manifest to")
  else:
    add("--output", help="file to copy the vocabulary to")


def _add_plan_flags(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("--chip", required=True, help="kind of device, such as h100, a100_80gb, tpu_v5e")
  add(
    "--search", type=int, default=0, metavar="K", help="compile the K likeliest meshes"
  )
  add(
    "--efficiency",
    type=float,
    default=0.7,
    help="share of the chip's peak that large products reach (default 0.7)",
  )


def _add_host_flags(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("--coordinator_address", help="host:port of process 0, or auto: ask JAX")
  add("--process_count", type=int, help="processes in all")
  add("--process_index", type=int, help="number of this process")
  add(
    "--preflight_seconds",
    type=float,
    default=300.0,
    help="how long to wait at the start for the other processes (default 300)",
  )
  # T5X's switch; several processes are recognized by the flags above or the scheduler.
  add("--multiprocess_gpu", action="store_true", help=argparse.SUPPRESS)
