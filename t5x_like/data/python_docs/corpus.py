"""The text of the built-in corpus: what is worth reading in a Python installation.

You are in: t5x_like/data/python_docs, the part that knows no TFDS: standard library only,
nothing is imported, everything is parsed. Upstream: the files of the interpreter that
runs. Downstream: builder.py, which stores the documents. What you change here changes
the corpus of everybody: raise `RECIPE`, which is part of the version of the data set.

Three kinds of documents:
  topic       one documentation topic (`help("assert")`), prose
  docstrings  all docstrings of one module under their names, prose and examples
  source      one source file as it is, code and comments
No document occurs twice, nor does a docstring or a paragraph of a topic among those of
its kind. A docstring is read alone and where it stands in the code; both documents belong
to one module, and all documents of a module fall into the same split. A document is named
after what it is, never after where it lies on this machine.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import io
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

RECIPE = 1
SPLITS = {"train": 0.96, "validation": 0.02, "test": 0.02}
SHORTEST = 80  # Characters: shorter texts ("See below.") teach nothing.

# Tests are excluded (a third of the library, mostly data); so are bundled wheels and
# whatever pip put beside the library.
_SKIPPED = {"test", "tests", "idle_test", "_bundled", "__pycache__", "site-packages"}
_SKIPPED |= {"dist-packages", "pydoc_data"}  # pydoc_data holds the topics themselves.
# Written by the build of the interpreter: full of paths of the machine that built it.
_BUILT = ("_sysconfigdata", "_sysconfig_vars", "config-")
# 70 codecs are tables written by this script: a megabyte of hexadecimal numbers.
_GENERATED = "gencodec.py"


@dataclasses.dataclass(frozen=True)
class Document:
  """`name` is unique in the corpus; `module` decides the split."""

  name: str
  kind: str
  module: str
  text: str

  @property
  def split(self) -> str:
    """Depends on the module's name alone: the same split under every Python."""
    digest = hashlib.sha256(self.module.encode()).digest()
    place, edge = int.from_bytes(digest[:8], "big") / 2**64, 0.0
    for split, share in SPLITS.items():
      edge += share
      if place < edge:
        return split
    return "train"


def documents(library: Path | None = None) -> Iterator[Document]:
  """Yields every document once, in an order that depends on the library's files only.

  Args:
    library: the folder of the standard library; the running interpreter's by default.

  Raises:
    ValueError: nothing usable was found.
  """
  root = Path(library or sysconfig.get_path("stdlib"))
  seen: set[bytes] = set()
  empty = True
  for document in _everything(root):
    key = hashlib.sha256(document.text.encode()).digest()
    if len(document.text) < SHORTEST or key in seen or str(root) in document.text:
      continue
    seen.add(key)
    empty = False
    yield document
  if empty:
    raise ValueError(
      f"No text for the corpus python_docs in {root}: it needs the sources (*.py) of "
      "the standard library. This Python was installed without them; use a full "
      "installation, or train on files of your own with sources.Text."
    )


def _everything(root: Path) -> Iterator[Document]:
  yield from _topics(root / "pydoc_data" / "topics.py")
  seen: set[str] = set()
  for path in sorted(root.rglob("*.py"), key=lambda path: path.as_posix()):
    inner = path.relative_to(root)
    if _SKIPPED & set(inner.parts) or inner.as_posix().startswith(_BUILT):
      continue
    yield from _module(path, inner, seen)


def _topics(path: Path) -> Iterator[Document]:
  """The texts behind `help("assert")`. Some distributions leave them out.

  Long topics repeat short ones (`specialnames` holds `customization`, word for word), so
  the short ones go first and a paragraph that was used is left out: otherwise training
  text would be found in the validation split.
  """
  tree = _parse(_read(path)) if path.exists() else None
  topics = {}
  for node in tree.body if tree else ():
    if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(
      node.value, ast.Dict
    ):
      topics.update(ast.literal_eval(node.value))
  seen: set[str] = set()
  for name, text in sorted(topics.items(), key=lambda item: (len(item[1]), item[0])):
    fresh = []
    for paragraph in text.strip().split("\n\n"):
      key = " ".join(paragraph.split())
      if key not in seen:
        fresh.append(paragraph)
      if len(key) >= SHORTEST:
        seen.add(key)
    yield Document(f"topic/{name}", "topic", f"topic/{name}", "\n\n".join(fresh) + "\n")


def _module(path: Path, inner: Path, seen: set[str]) -> Iterator[Document]:
  """The documents of one source file. `seen` holds the docstrings used so far."""
  text = _read(path)
  tree = _parse(text)
  if tree is None or _GENERATED in text:
    return
  module = ".".join(inner.with_suffix("").parts).removesuffix(".__init__")
  entries = []
  for name, docstring in _docstrings(tree, module):
    if docstring not in seen:
      seen.add(docstring)
      entries.append(f"{name}\n\n{docstring}\n")
  yield Document(f"docstrings/{module}", "docstrings", module, "\n".join(entries))
  yield Document(f"source/{inner.as_posix()}", "source", module, text)


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
  """Yields (dotted name, docstring without its indentation), outer ones first."""
  docstring = (ast.get_docstring(node) or "").strip()
  if docstring:
    yield name, docstring
  for child in node.body:
    if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
      yield from _docstrings(child, f"{name}.{child.name}")


def _read(path: Path) -> str:
  """The text of a source file in the encoding it declares; "" if it is wrong."""
  try:
    data = path.read_bytes()
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding).replace("\r\n", "\n").replace("\f", "")
  except (OSError, SyntaxError, UnicodeDecodeError):
    return ""


def _parse(text: str) -> ast.Module | None:
  """None for files that are not Python of this version (2to3 templates, say)."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      return ast.parse(text)
  except (SyntaxError, ValueError):
    return None
