"""The TFDS data set `python_docs`, prepared without TensorFlow.

You are in: t5x_like/data/python_docs. Upstream: corpus.py (documents). Downstream:
sources.Tfds. Importing this module registers the builder, so that `tfds.builder` and
`tfds.data_source` know it too. TFDS wants a builder in a package folder of its own.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from t5x_like.data.artifacts import locked
from t5x_like.data.python_docs import corpus

log = logging.getLogger(__name__)

DESCRIPTION = """\
Real prose and code found in any Python installation: the documentation topics behind
help(), the docstrings of the standard library, and its source files without tests.
Split by module into train (96%), validation (2%) and test (2%). The version says how and
from what it was made: recipe, Python 3.x as 3xx, micro version."""


class PythonDocs(tfds.core.GeneratorBasedBuilder):
  """`python_docs`: features text, name, kind ("topic", "docstrings" or "source")."""

  VERSION = tfds.core.Version(
    f"{corpus.RECIPE}.{sys.version_info[0]}{sys.version_info[1]:02}.{sys.version_info[2]}"
  )

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      description=DESCRIPTION,
      features=tfds.features.FeaturesDict(
        {name: tfds.features.Text() for name in ("text", "name", "kind")}
      ),
      license="Python Software Foundation License",
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
    documents = list(corpus.documents())
    return {split: self._generate_examples(documents, split) for split in corpus.SPLITS}

  def _generate_examples(
    self, documents: list[corpus.Document], split: str
  ) -> Iterator[tuple[str, dict[str, str]]]:
    for document in documents:
      if document.split == split:
        facts = {"name": document.name, "kind": document.kind}
        yield document.name, {"text": document.text, **facts}


def prepare(data_dir: str | os.PathLike | None) -> tfds.core.DatasetBuilder:
  """Returns the builder, its files written under `data_dir` if they were not there.

  Takes a few seconds once. Safe with several processes: one writes, the others wait.

  Args:
    data_dir: None for where TFDS keeps its data sets.
  """
  place = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
  place.mkdir(parents=True, exist_ok=True)
  with locked(place / PythonDocs.name):
    builder = PythonDocs(data_dir=str(place), file_format="array_record")
    if not builder.info.splits:
      log.info("Preparing the built-in corpus in %s", builder.data_path)
      with _quiet():
        builder.download_and_prepare()
  return builder


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """TFDS prints to standard output, where a verb with --json writes its answer."""
  silence = io.StringIO()
  with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
    yield
