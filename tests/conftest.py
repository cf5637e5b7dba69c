"""What every test shares: the CPU, one compilation cache, and `--update-golden`.

You are in: tests. Compiled programs are kept under .cache/jax-tests, so a second run of
the suite compiles next to nothing. Tests that need several devices or another
environment start processes of their own.
"""

import functools
import importlib.util
import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Modules that test files share, such as models/hf_weights.py: importlib mode leaves the
# search path alone.
for folder in ("", "models", "study"):
  sys.path.insert(0, str(ROOT / "tests" / folder))

from child import QUICK  # noqa: E402

# Read when JAX starts; processes that tests start inherit it.
os.environ.setdefault("XLA_FLAGS", QUICK)

import jax  # noqa: E402
import pytest  # noqa: E402

if "JAX_PLATFORMS" not in os.environ:
  # Tolerances are those of float32 on a CPU; accelerators multiply in fewer bits.
  jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_compilation_cache_dir", str(ROOT / ".cache" / "jax-tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


# Minutes of compilation in processes of their own: begun last, they would end alone.
LONG = {
  "test_multidevice.py",
  "test_collectives.py",
  "test_processes.py",
  "test_program.py",
  "test_restart.py",
  "test_resume.py",
}


# setup.py asks for PyTorch on Python 3.11 alone: elsewhere its package index gives
# gigabytes of CUDA.
COMPARED = re.compile(r"^(import|from) (torch|transformers|test_parity)", re.MULTILINE)


def pytest_ignore_collect(collection_path):
  """Files that compare with PyTorch, where it is not installed."""
  return collection_path in left_out() or None


def pytest_terminal_summary(terminalreporter):
  """No file is left out in silence."""
  if not left_out():
    return
  terminalreporter.write_line(
    "LEFT OUT, for PyTorch is not installed (pip install torch):"
  )
  for path in sorted(left_out()):
    terminalreporter.write_line(f"  {path.relative_to(ROOT)}")


@functools.cache
def left_out() -> frozenset[Path]:
  if importlib.util.find_spec("torch"):
    return frozenset()
  files = (ROOT / "tests").rglob("test_*.py")
  return frozenset(path for path in files if COMPARED.search(path.read_text()))


def pytest_collection_modifyitems(items):
  """Long tests first."""
  items.sort(key=lambda item: item.path.name not in LONG)


def pytest_addoption(parser):
  parser.addoption(
    "--update-golden",
    action="store_true",
    help="write the files under tests/golden instead of comparing with them",
  )


@pytest.fixture(scope="session")
def root() -> Path:
  """The repository."""
  return ROOT


@pytest.fixture(scope="session", autouse=True)
def temporary():
  """What tests and libraries leave among temporary files goes when the tests end.

  Not below pytest's own folder, whose name is too long for the sockets that Ray puts there.
  """
  with tempfile.TemporaryDirectory(prefix="t5x", ignore_cleanup_errors=True) as folder:
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    yield


@pytest.fixture
def put_program(tmp_path, monkeypatch):
  """Puts a program onto the path, such as one that stands in for `sbatch`."""
  folder = tmp_path / "bin"

  def put(name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)

  monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
  return put


@pytest.fixture
def update_golden(request) -> bool:
  """Whether golden files are to be written."""
  return request.config.getoption("--update-golden")
