"""host: what has to be set in the process before JAX starts.

You are in: t5x_like, the edge. `main.py` calls `prepare()` before the first import of
jax. Nothing here changes results; each setting says what it gains. It is used on CPUs:
on accelerators the device does the arithmetic and these settings are harmless.
"""

from __future__ import annotations

import os
import shutil
import sys

# glibc backs large blocks with huge pages. XLA:CPU allocates its temporaries anew every
# step; faulting them in 4 KiB at a time costs 10-30 % of a training step.
TUNABLE = "glibc.malloc.hugetlb=1"
# Use whole 512-bit registers where the processor has them (XLA stops at 256 by itself).
XLA_CPU_FLAGS = ("--xla_cpu_prefer_vector_width=512",)
# A collective blocks a thread of XLA:CPU until all devices are there, and several may wait
# at once. With a thread a core, simulated devices ended in each other's way: those of an
# interleaved pipeline, after 40 seconds, with "Termination timeout".
DEVICES = "--xla_force_host_platform_device_count="
THREADS = 4  # of each simulated device
MARK = "T5X_LIKE_PREPARED"


def environment(old: dict[str, str]) -> dict[str, str]:
  """The environment a run should have: what the user set always wins."""
  new = dict(old)
  tunables = [t for t in old.get("GLIBC_TUNABLES", "").split(":") if t]
  if not any(t.startswith("glibc.malloc.hugetlb") for t in tunables):
    new["GLIBC_TUNABLES"] = ":".join([*tunables, TUNABLE])
  flags = old.get("XLA_FLAGS", "").split()
  known = {flag.split("=")[0] for flag in flags}
  added = [flag for flag in XLA_CPU_FLAGS if flag.split("=")[0] not in known]
  new["XLA_FLAGS"] = " ".join([*flags, *added])
  for flag in flags:
    if flag.startswith(DEVICES):
      new.setdefault("NPROC", str(THREADS * int(flag.removeprefix(DEVICES))))
  new[MARK] = "1"
  return new


def prepare() -> None:
  """Starts this program again with the environment it needs, once.

  The allocator reads its settings before `main`, so they cannot be set from within. A
  process that must not be replaced (a notebook, a test) sets T5X_LIKE_PREPARED=1.
  """
  if os.environ.get(MARK) or "jax" in sys.modules or not sys.platform == "linux":
    return
  new = environment(dict(os.environ))
  os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], new)


def command() -> str:
  """How the user starts this program from here: what its own advice is printed with."""
  called = sys.argv[0]
  if os.path.basename(called) != "t5x_like":
    return "python -m t5x_like.main"
  found = shutil.which("t5x_like")
  if found and os.path.samefile(found, called):
    return "t5x_like"
  return os.path.relpath(called)
