"""The verbs that run a study: plan, run, worker, status, compare, report.

You are in: t5x_like/study, the edge. Upstream: main.py, running_flags.py. Only `plan`
and `run` read configurations; the others need the study's directory alone, and answer
without JAX.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable

from t5x_like.statements import ConfigError
from t5x_like.study import (
  compare_text,
  engines,
  index,
  plan_text,
  progress_text,
  search_text,
  version,
)
from t5x_like.study.store import Store
from t5x_like.study.worker import Worker

Arguments = argparse.Namespace
SOME_FAILED = 4
LEAST_RESAMPLES = 100
OF_THE_STUDY = ("study.", "sweep.", "tune.")


def plan(arguments: Arguments) -> int:
  """The verb `study plan`."""
  store = _planned(arguments)
  states = index.states(store)
  if arguments.json:
    print(json.dumps(store.plan | {"states": {a: s.name for a, s in states.items()}}))
  else:
    print(plan_text.text(store, states))
  return 0


def run(arguments: Arguments) -> int:
  """The verb `study run`."""
  if arguments.workers < 1:
    raise ConfigError(f"--workers={arguments.workers} must be 1 or more.")
  engines.check(arguments)
  store = _planned(arguments)
  if arguments.retry_failed:
    print(f"{store.forgive()} failed cells will be tried again")
  print(plan_text.text(store, index.states(store)), flush=True)
  if arguments.engine not in engines.WAITS:
    return engines.submit(store, arguments)
  status, store = _to_the_end(store, arguments)
  states = index.states(store)
  print(progress_text.text(store, states, most=40))
  if status:
    return status
  return SOME_FAILED if any(s.name == "failed" for s in states.values()) else 0


def _to_the_end(store: Store, arguments: Arguments) -> tuple[int, Store]:
  """Runs what is planned, and what follows from it: another round of a search, or the
  seeds of a setting that was found."""
  while True:
    status = engines.run(store, arguments)
    if status or not store.plan["searching"]:
      return status, store
    before = {cell["address"] for cell in store.queue}
    store = _planned(arguments)
    if before >= {cell["address"] for cell in store.queue}:
      return status, store
    print("\n".join(search_text.lines(store.plan, index.states(store))), flush=True)


def worker(arguments: Arguments) -> int:
  """The verb `study worker`; 128 + n when signal n stopped it, for schedulers."""
  at_work = Worker(
    Store(arguments.study_dir),
    slot=arguments.slot,
    slots=arguments.slots,
    most=arguments.cells,
    wait=not arguments.nowait,
    heartbeat=arguments.heartbeat,
    expiry=arguments.expiry,
    say=lambda line: print(line, flush=True),
  )
  at_work.run()
  return 128 + at_work.stopped if at_work.stopped else 0


def status(arguments: Arguments) -> int:
  """The verb `study status`."""
  store = Store(arguments.study_dir)
  while True:
    states = index.states(store)
    if arguments.json:
      print(json.dumps(progress_text.rows(store, states)))
      return 0
    clear = "\033[2J\033[H" if arguments.watch and sys.stdout.isatty() else ""
    print(clear + progress_text.text(store, states, most=arguments.cells), flush=True)
    if not arguments.watch or progress_text.ended(states):
      return 0
    time.sleep(2.0)


def compare(arguments: Arguments) -> int:
  """The verb `study compare`."""
  from t5x_like.study import compare as comparison  # scipy takes a second to import

  store = Store(arguments.study_dir)
  search_text.check_ended(store.plan)
  states = index.states(store)
  notes = comparison.unlike(store)
  if notes and not arguments.mixed:
    name, groups = next(iter(notes.items()))
    raise ConfigError(
      f"the arms differ in {name} ({' | '.join(groups)}), so their losses do not mean "
      "the same. Give all the same one, or compare with --mixed, which says so."
    )
  tables = comparison.tables(store, states, metric=arguments.metric)
  others = _other_code(store, states)
  if arguments.json:
    print(json.dumps({"tables": tables, "unlike": notes, "other_code": others}))
    return 0
  if store.plan["question"]:
    print(store.plan["question"])
  for table in tables:
    print(compare_text.text(table))
  for name, groups in notes.items():
    print(f"NOT COMPARABLE: arms differ in {name}: {' | '.join(groups)}")
  for code, count in others.items():
    print(f"NOTE: {count} results were made by code {code}, which was not accepted.")
  return 0


def report(arguments: Arguments) -> int:
  """The verb `study report`."""
  from t5x_like.study import report as writing  # scipy and matplotlib take a second

  if arguments.bootstrap < LEAST_RESAMPLES:
    raise ConfigError(
      f"--bootstrap={arguments.bootstrap} must be {LEAST_RESAMPLES} or more: intervals of "
      "fewer would be their noise."
    )
  return writing.report(arguments)


def _planned(arguments: Arguments) -> Store:
  """Expands the study and writes its directory."""
  from t5x_like.study import cells  # builds runs, and so imports JAX

  of_study = [b for b in arguments.gin_bindings if _of_the_study(b)]
  of_base = [b for b in arguments.gin_bindings if not _of_the_study(b)]
  paths = [p for part in arguments.gin_search_paths for p in part.split(",") if p]
  study = cells.read(arguments.gin_file, of_study, paths)
  store = Store(arguments.study_dir or os.path.join("runs", study.name))
  noted = version.settle(
    store.root, because=arguments.accept_code, anew=arguments.new_code
  )
  folders = [os.path.dirname(os.path.abspath(f)) for f in arguments.gin_file]
  found = cells.expand(
    study,
    code=noted["version"],
    search_paths=[*paths, *folders],
    bindings=of_base,
    outcome=store.ended,
  )
  written = {
    "name": study.name,
    "question": study.question,
    "metric": study.metric,
    "baseline": study.baseline,
    "match": study.match,
    "arms": [arm.name for arm in study.arms],
    "code": noted["version"],
    "gin_files": list(arguments.gin_file),
    "gin_bindings": list(arguments.gin_bindings),
    "command": [sys.executable, "-m", "t5x_like.main", "train"],
    "cwd": os.getcwd(),
    "data_dir": arguments.data_dir and os.path.abspath(arguments.data_dir),
    "cells": [dataclasses.asdict(cell) for cell in found.cells],
    "trials": [dataclasses.asdict(cell) for cell in found.trials],
    "searching": list(found.searching),
  }
  version.note(store.root, noted)
  store.write_plan(written, found.texts)
  return store


def _of_the_study(binding: str) -> bool:
  name = binding.partition("=")[0].strip().rpartition("/")[2]
  return name.startswith(OF_THE_STUDY)


def _other_code(store: Store, states: dict) -> dict[str, int]:
  """Code versions of results that are neither the study's nor accepted -> how many."""
  accepted, found = version.accepted(store.root), {}
  for state in states.values():
    code = (state.result or {}).get("code")
    if code is not None and code not in accepted:
      found[code] = found.get(code, 0) + 1
  return found


VERBS: dict[str, Callable[[Arguments], int]] = {
  "study plan": plan,
  "study run": run,
  "study worker": worker,
  "study status": status,
  "study compare": compare,
  "study report": report,
}
