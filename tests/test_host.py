"""host: the environment a process gets, and how a user called the program."""

import os
import sys

from t5x_like import host


def test_what_the_user_set_stays():
  old = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0", "XLA_FLAGS": "--xla_a=1"}
  new = host.environment(old)
  assert new["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=0"
  assert new["XLA_FLAGS"].startswith("--xla_a=1 ")


def test_advice_names_the_program_as_it_was_called(tmp_path, monkeypatch):
  program = tmp_path / "venv" / "bin" / "t5x_like"
  program.parent.mkdir(parents=True)
  program.write_text("#!/bin/sh\n")
  program.chmod(0o755)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, "argv", [str(program)])
  monkeypatch.setenv("PATH", os.defpath)
  assert host.command() == "venv/bin/t5x_like"
  monkeypatch.setenv("PATH", str(program.parent))
  assert host.command() == "t5x_like"
  monkeypatch.setattr(sys, "argv", ["/somewhere/main.py"])
  assert host.command() == "python -m t5x_like.main"


def test_simulated_devices_have_threads_that_may_wait_for_each_other():
  flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
  assert host.environment(flags)["NPROC"] == "32"
  assert host.environment(flags | {"NPROC": "3"})["NPROC"] == "3"
  assert "NPROC" not in host.environment({})
