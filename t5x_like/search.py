"""Search: where gin files are found, whatever the working directory.

You are in: t5x_like, the edge (reads folders). Upstream: names in flags and includes.
Downstream: config.py reads what is found here.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re

from t5x_like.statements import Binding, ConfigError, Place, nearest, shorten

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "gin_configs"
TASK_NAME = "MIXTURE_OR_TASK_NAME"


@dataclasses.dataclass(frozen=True)
class Search:
  """The working directory, the user's `paths`, the including file's folder, ours."""

  paths: tuple[str, ...] = ()

  def folders(self, beside: pathlib.Path | None = None) -> list[pathlib.Path]:
    """Folders in the order in which they are tried; `beside` is the including file."""
    user = [pathlib.Path(os.path.expanduser(path)) for path in self.paths]
    near = [] if beside is None else [beside.parent]
    return [pathlib.Path(), *user, *near, ROOT, SHIPPED]

  def find(
    self, name: str, place: Place, beside: pathlib.Path | None = None
  ) -> pathlib.Path:
    """The file; ConfigError with the places searched when there is none."""
    path = pathlib.Path(os.path.expanduser(name))
    folders = [path.parent] if path.is_absolute() else self.folders(beside)
    for folder in folders:
      if (folder / path).is_file():
        return folder / path
    hint = nearest(name, shipped_files())
    raise ConfigError(f"{place}: no file {name}{hint} Searched: {_listed(folders)}")

  def task_file(self, binding: Binding) -> str:
    """The gin file of the task or mixture that MIXTURE_OR_TASK_NAME is bound to."""
    name = binding.value
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]+", name):
      raise ConfigError(
        f"{binding.place}: {TASK_NAME} = {shorten(name)} must be the name of a file in "
        "gin_configs/data/, without .gin."
      )
    files = [f"gin_configs/data/{name}.gin", f"data/{name}.gin"]
    for file in files:
      if any((folder / file).is_file() for folder in self.folders()):
        return file
    known = [n[5:-4] for n in shipped_files() if n.startswith("data/")]
    raise ConfigError(
      f"{binding.place}: no task or mixture {name!r}{nearest(name, known)} "
      f"Searched for {files[1]} in: {_listed(self.folders())}"
    )


def shipped_files() -> list[str]:
  """gin files of this package, as a user names them: models/t5_1_1/small.gin."""
  return [path.relative_to(SHIPPED).as_posix() for path in SHIPPED.rglob("*.gin")]


def shown(path: pathlib.Path) -> str:
  """A path as short as it stays true: shipped files from gin_configs/ on."""
  whole = path.resolve()
  if SHIPPED in whole.parents:
    return whole.relative_to(ROOT).as_posix()
  here = pathlib.Path.cwd()
  return whole.relative_to(here).as_posix() if here in whole.parents else str(path)


def _listed(folders: list[pathlib.Path]) -> str:
  return ", ".join(dict.fromkeys(str(folder.resolve()) for folder in folders))
