"""child: a program in a process of its own, with as many devices as it wants.

You are in: tests. The number of devices is fixed when JAX starts, so tests of several
devices write their program as text, and read the JSON it prints last.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

# Compiling takes longer than running here: LLVM's optimizations and XLA's newer emitters
# of fused loops take most of it (two thirds of it alone), and are not what is tested.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if importlib.metadata.version("jaxlib") < "0.11":
  # Later versions know no other emitters, and end at a flag that they do not know.
  QUICK += " --xla_cpu_use_fusion_emitters=false"


def environment(root: Path, *, devices: int = 1) -> dict[str, str]:
  """Of a child on the CPU that sees the repository, and the tests' compiled programs."""
  # As t5x_like/host.py: threads for collectives that wait for each other.
  threads = {"NPROC": str(4 * devices)} if devices > 1 else {}
  return (
    os.environ
    | threads
    | {
      "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {QUICK}",
      "PYTHONPATH": str(root),
      "JAX_PLATFORMS": "cpu",
      "JAX_COMPILATION_CACHE_DIR": str(root / ".cache" / "jax-tests"),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
  )


def printed(root: Path, program: str, *words: str, devices: int = 1):
  """What the program prints in its last line, read as JSON."""
  done = subprocess.run(
    [sys.executable, "-c", program, *words],
    env=environment(root, devices=devices),
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  return json.loads(done.stdout.splitlines()[-1])
