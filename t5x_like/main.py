"""The command line: what each verb does, and what becomes of errors.

You are in: t5x_like, the edge. `t5x_like VERB ...` (or `python -m t5x_like.main VERB
...`); flags.py declares the flags. A verb is a function below; it imports what it needs
when it runs, so that `--help` and mistakes in a configuration answer at once.

Exit status: 0 done; 2 something the user can mend, told in one line; 128 + n stopped by
signal n after saving; 75 other processes did not answer, or run.Run.pause; 1 a bug, with its traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence

from t5x_like.flags import parse_arguments
from t5x_like.statements import ConfigError

OURS = ("t5x_like", "models", "partitioning")
ROOT = pathlib.Path(__file__).resolve().parent.parent


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one verb and returns the exit status."""
  real = argv is None
  words = list(sys.argv[1:] if real else argv)
  try:
    arguments = parse_arguments(words)
    return 0 if arguments is None else VERBS[arguments.verb](arguments, real)
  except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
    return 130
  except BrokenPipeError:  # `| head` has seen enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
  except Exception as error:
    line = user_message(error)
    if line is None or "--debug" in words:
      traceback.print_exc()
    if line is None:
      return 1
    print(f"error: {line}", file=sys.stderr)
    return 2


def train(arguments: argparse.Namespace, real: bool) -> int:
  """The verb `train`."""
  config, run = _load(arguments, real)
  if arguments.dry_run:
    return _inspect(arguments, config, run)
  from t5x_like import identity
  from t5x_like import train as loop

  return loop.train(run, config_text=config.text(), identity=identity.identity(run))


def evaluate(arguments: argparse.Namespace, real: bool) -> int:
  """The verb `eval`."""
  config, run = _load(arguments, real)
  if arguments.dry_run:
    return _inspect(arguments, config, run)
  from t5x_like import evaluate as evaluation

  checkpoint = _checkpoint(arguments, run)
  values = evaluation.evaluate(run, checkpoint=checkpoint, step=arguments.step)
  if arguments.json:
    print(json.dumps(values))
    return 0
  width = max(map(len, values))
  for name, value in values.items():
    number = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
    print(f"{name:<{width}}  {number}")
  return 0


def infer(arguments: argparse.Namespace, real: bool) -> int:
  """The verb `infer`."""
  if not arguments.prompt and arguments.input is None:
    raise ConfigError("nothing to infer from; give --prompt=TEXT or --input=FILE.")
  config, run = _load(arguments, real)
  if arguments.dry_run:
    return _inspect(arguments, config, run)
  from t5x_like import infer as inference
  from t5x_like.decode.sampling import Sampling

  written = inference.infer(
    run,
    _texts(arguments),
    checkpoint=_checkpoint(arguments, run),
    step=arguments.step,
    sampling=Sampling(
      temperature=arguments.temperature, topk=arguments.topk, topp=arguments.topp
    ),
    decodes=arguments.num_decodes,
    tokens=arguments.max_decode_len,
    seed=arguments.seed,
  )
  as_json = arguments.json or arguments.output is not None
  with _output(arguments.output) as file:
    for item in written:
      if as_json:
        print(json.dumps(dataclasses.asdict(item), ensure_ascii=False), file=file)
      elif arguments.fill:
        print(inference.filled(item.input, item.prediction), file=file)
      else:
        print(item.prediction, file=file)
      file.flush()
  return 0


def inspect(arguments: argparse.Namespace, real: bool) -> int:
  """The verb `inspect`; files that describe a model alone are enough."""
  config = _parse(arguments)
  if config.whole:
    return _inspect(arguments, *_load(arguments, real))
  from t5x_like import inspect as inspection

  _prepare(arguments, real)
  inspection.show_model(config.build_model(), as_json=arguments.json)
  return 0


def plan(arguments: argparse.Namespace, real: bool) -> int:
  """The verb `plan`."""
  if not arguments.devices or arguments.devices < 1:
    raise ConfigError("plan needs --devices=N, the number of devices of the target.")
  if not 0 < arguments.efficiency <= 1:
    raise ConfigError(f"--efficiency={arguments.efficiency} must lie in (0, 1].")
  _, run = _load(arguments, real)
  from t5x_like.planner import verb

  return verb.verb(arguments, run)


def data(arguments: argparse.Namespace, real: bool) -> int:
  """The verbs `data ...`; files that describe a task alone are enough."""
  config = _parse(arguments)
  if not config.whole:
    config = _parse(arguments, feed=True)
  config.check()
  _prepare(arguments, real)
  from t5x_like import data_verbs

  return data_verbs.VERBS[arguments.verb](config.build(), arguments)


def study(arguments: argparse.Namespace, real: bool) -> int:
  """The verbs `study ...`."""
  if arguments.verb in ("study fit", "study predict"):
    from t5x_like.study import verbs
  else:
    from t5x_like.study import running as verbs

  return verbs.VERBS[arguments.verb](arguments)


def coordinates(arguments: argparse.Namespace, real: bool) -> int:
  """The verb `study coord-check`."""
  from t5x_like import coordinate_check

  return coordinate_check.verb(arguments)


def import_model(arguments: argparse.Namespace, real: bool) -> int:
  """The verb `import`."""
  from t5x_like.interop import importing

  return importing.verb(arguments)


def export_model(arguments: argparse.Namespace, real: bool) -> int:
  """The verb `export`."""
  from t5x_like.interop import exporting

  config = _parse(arguments)

  def load() -> tuple[object, object]:
    """The spec, and the run if the files describe one."""
    if not config.whole:
      return config.build_model(), None
    run = config.build()
    return run.model, run

  return exporting.verb(arguments, load)


def zoo(arguments: argparse.Namespace, real: bool) -> int:
  """The verb `zoo`."""
  from t5x_like import zoo as listing

  return listing.verb(arguments)


def launch(arguments: argparse.Namespace, real: bool) -> int:
  """The verb `launch`. Mistakes in what is launched are told now, not on a cluster."""
  from t5x_like.launching import command, verb

  name = command.verb(arguments.command)
  if (launched := parse_arguments(arguments.command)) is None:  # its --help
    return 0
  if name == "train" and arguments.directory is None:  # its files may be elsewhere
    _parse(launched).check()
  return verb.verb(arguments)


VERBS: dict[str, Callable[[argparse.Namespace, bool], int]] = {
  "train": train,
  "eval": evaluate,
  "infer": infer,
  "inspect": inspect,
  "plan": plan,
  "data preview": data,
  "data stats": data,
  "data cache": data,
  "data train-tokenizer": data,
  "study fit": study,
  "study predict": study,
  "study plan": study,
  "study run": study,
  "study worker": study,
  "study status": study,
  "study compare": study,
  "study report": study,
  "study coord-check": coordinates,
  "import": import_model,
  "export": export_model,
  "zoo": zoo,
  "launch": launch,
}


def _parse(arguments: argparse.Namespace, *, feed: bool = False):
  """The configuration that the flags name, of data alone if `feed`; no JAX yet."""
  from t5x_like import config

  files, bindings = list(arguments.gin_file), list(arguments.gin_bindings)
  if arguments.model_dir is not None:
    written = os.path.join(os.path.expanduser(arguments.model_dir), "config.gin")
    if not os.path.isfile(written):
      raise ConfigError(
        f"--model_dir={arguments.model_dir} holds no config.gin; give the folder of a "
        "run (its MODEL_DIR)."
      )
    files.insert(0, os.path.abspath(written))
    if config.parse(files[:1]).whole:  # an imported model alone is no run
      bindings.insert(0, f"run.Run.model_dir = {os.path.dirname(files[0])!r}")
  if feed:
    files.insert(0, "data_feed.gin")
  if arguments.data_dir is not None:
    owner = "feed.Feed" if feed else "run.Run"
    bindings.append(f"{owner}.data_dir = {arguments.data_dir!r}")
  paths = [p for part in arguments.gin_search_paths for p in part.split(",") if p]
  return config.parse(files, bindings, paths)


def _load(arguments: argparse.Namespace, real: bool):
  """(configuration, Run). Mistakes that need no JAX are found before it is imported."""
  config = _parse(arguments)
  config.check()
  _prepare(arguments, real)
  run = config.build()
  if arguments.verb in ("eval", "infer") and not _says_devices(arguments):
    from t5x_like import elsewhere

    run, told = elsewhere.here(run)
    if told is not None:
      print(told, file=sys.stderr)
  if _joins(arguments):
    from partitioning import preflight
    from t5x_like import alike

    same = alike.alike(run)
    preflight.check(run.mesh, alike=same, seconds=arguments.preflight_seconds)
  return config, run


def _says_devices(arguments: argparse.Namespace) -> bool:
  """Whether a flag says how devices are used, beside what a run has written."""
  words = ("Mesh.", "PARTITIONING_RULES", "Execution.pipeline")
  said = [word in binding for binding in arguments.gin_bindings for word in words]
  return arguments.model_dir is None or bool(arguments.gin_file) or any(said)


def _joins(arguments: argparse.Namespace) -> bool:
  """Whether this is a verb that several processes run together."""
  return arguments.verb in ("train", "eval", "infer") and not arguments.dry_run


def _prepare(arguments: argparse.Namespace, real: bool) -> None:
  """What must happen before JAX looks for devices."""
  if real:
    from t5x_like import host

    host.prepare()
    # What takes long is announced: preparing a corpus, a vocabulary, token caches.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger("t5x_like").addHandler(handler)
    logging.getLogger("t5x_like").setLevel(logging.INFO)
    logging.getLogger("t5x_like").propagate = False
  if arguments.devices:
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", arguments.devices)
  if not _joins(arguments):
    return
  from partitioning import launch

  launch.initialize_distributed(
    coordinator_address=arguments.coordinator_address,
    process_count=arguments.process_count,
    process_index=arguments.process_index,
    seconds=arguments.preflight_seconds,
  )


def _inspect(arguments: argparse.Namespace, config, run) -> int:
  from t5x_like import inspect as inspection

  inspection.show_run(run, config_text=config.text(), as_json=arguments.json)
  return 0


def _checkpoint(arguments: argparse.Namespace, run) -> str:
  """Where the parameters are: the run itself, or what eval.gin and infer.gin name."""
  if arguments.model_dir is not None or run.restore_from is None:
    return run.model_dir
  return run.restore_from


def _texts(arguments: argparse.Namespace) -> list[str]:
  """Inputs of `infer`: prompts of the command line, then the lines of a file.

  Not read before `_prepare`, which may start the program anew: standard input would be
  empty by then.
  """
  texts = list(arguments.prompt)
  if arguments.input == "-":
    texts += sys.stdin.read().splitlines()
  elif arguments.input is not None:
    try:
      texts += pathlib.Path(arguments.input).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
      raise ConfigError(f"--input={arguments.input}: {error}") from error
  return [text for text in texts if text.strip()]


@contextlib.contextmanager
def _output(name: str | None) -> Iterator:
  if name is None:
    yield sys.stdout
    return
  with open(name, "w", encoding="utf-8") as file:
    yield file


def user_message(error: Exception) -> str | None:
  """What to tell a user who can mend it; None when the error is a bug of ours."""
  text = " ".join(str(error).split())
  if isinstance(error, (ConfigError, OSError)):
    return text
  if isinstance(error, ValueError) and _raised_by_us(error):
    return text
  if isinstance(error, ModuleNotFoundError) and error.name.split(".")[0] not in OURS:
    return f"the package {error.name!r} is not installed: pip install {error.name}"
  if "RESOURCE_EXHAUSTED" in text:
    return (
      "the device's memory is exhausted. Lower BATCH_SIZE, raise run.Run.microbatches, "
      f"or set execution.Execution.remat = 'full'. ({text[:80]}...)"
    )
  return None


def _raised_by_us(error: Exception) -> bool:
  """Our ValueErrors are written for users; those of libraries mean a bug."""
  frames = traceback.extract_tb(error.__traceback__)
  if not frames:
    return False
  file = pathlib.Path(frames[-1].filename).resolve()
  return any(ROOT / package in file.parents for package in OURS)


if __name__ == "__main__":
  sys.exit(main())
