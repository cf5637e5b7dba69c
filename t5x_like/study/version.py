"""Code version: a hash of the sources that decide what a run computes.

You are in: t5x_like/study, the edge (reads this package's files). Downstream: cells.py
puts it into the address of a cell. Comments, docstrings and layout do not count: what is
hashed is the syntax tree, so that editing a text does not repeat a study.

A study keeps the version it began with, in code.json. When the code has changed since,
its user says whether results may have: nobody else can know.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import pathlib

FILE = "code.json"
ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("models", "partitioning", "t5x_like")
# Nothing in these is imported while a model trains.
APART = ("t5x_like/study/", "t5x_like/interop/", "t5x_like/launching/")


def version() -> str:
  """Twelve hexadecimal digits."""
  digest = hashlib.sha256()
  for package in PACKAGES:
    for path in sorted((ROOT / package).rglob("*.py")):
      name = path.relative_to(ROOT).as_posix()
      if not name.startswith(APART):
        digest.update(f"{name}\0{_tree(path, path.stat().st_mtime_ns)}\0".encode())
  return digest.hexdigest()[:12]


def settle(study: pathlib.Path, *, because: str | None, anew: bool) -> dict:
  """What `note` should write; its "version" is what the study's addresses are made with.

  because: why results of the version before still hold, or None. Raises ValueError when
  there are results of another version and nothing was said about them.
  """
  now, path = version(), study / FILE
  noted = json.loads(path.read_text()) if path.exists() else {"accepted": {}}
  known = noted.get("version")
  if known == now or now in noted["accepted"]:
    return noted
  if known is None or anew or not any(study.glob("runs/*/*/result.json")):
    return {"version": now, "accepted": {}}
  if because:
    return noted | {"accepted": noted["accepted"] | {now: because}}
  raise ValueError(
    f"The code changed since {study} was begun (version {known}, now {now}). Give "
    "--accept_code='why results stay the same' to keep those there are, or --new_code "
    "to run every cell again."
  )


def note(study: pathlib.Path, noted: dict) -> None:
  """Keeps what `settle` found."""
  study.mkdir(parents=True, exist_ok=True)
  new = study / f".{FILE}-{os.getpid()}"
  new.write_text(json.dumps(noted, indent=1) + "\n")
  os.replace(new, study / FILE)


def accepted(study: pathlib.Path) -> set[str]:
  """Versions whose results count as those of the study's own."""
  noted = json.loads((study / FILE).read_text())
  return {noted["version"], *noted["accepted"]}


@functools.cache
def _tree(path: pathlib.Path, changed: int) -> str:
  """The file without comments, docstrings and layout; read again when it changed."""
  tree = ast.parse(path.read_text(encoding="utf-8"))
  for node in ast.walk(tree):
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and _is_text(body[0]):
      del body[0]
  return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
  return (
    isinstance(node, ast.Expr)
    and isinstance(node.value, ast.Constant)
    and isinstance(node.value.value, str)
  )
