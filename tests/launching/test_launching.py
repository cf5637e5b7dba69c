"""`t5x_like launch`: what is written can be run as it is, by stand-ins for schedulers.

tests/test_processes.py trains by a batch file that is written here; these are quick.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from partitioning import launch as joining
from t5x_like import main
from t5x_like.flags import parse_arguments
from t5x_like.launching import command, flags, sbatch

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
  "--gin_file=models/t5_1_1/tiny.gin",
  "--gin_file=runs/pretrain.gin",
  "--gin.MIXTURE_OR_TASK_NAME=python_docs",
  "--gin.TASK_FEATURE_LENGTHS={'inputs': 64, 'targets': 32}",
  "--gin.TRAIN_STEPS=10",
  "--gin.MODEL_DIR=runs/a run's place",
]
# As srun: forwards SIGUSR1 to its task, which saves and ends as a stopped run does.
SRUN = """\
#!/bin/bash
printf '%s\\n' "$@" > srun.arguments
trap 'echo saving; sleep 0.3; exit 138' USR1
touch started
while [ ! -e ended ]; do sleep 0.05; done
exit $(cat ended)
"""
SCONTROL = '#!/bin/bash\necho "$@" > scontrol.arguments\n'


@pytest.fixture
def launch(tmp_path, monkeypatch, capsys):
  """Calls the verb in an empty folder; (what stood on stdout, on stderr)."""
  monkeypatch.chdir(tmp_path)

  def call(*words, status=0):
    assert main.main(["launch", *words]) == status
    return capsys.readouterr()

  return call


def test_a_batch_file_is_written_and_says_how_to_submit_it(launch, tmp_path):
  words = ("--engine=slurm", "--nodes=2", "--tasks_per_node=8", "--gpus=8")
  told = launch(*words, "--sbatch=--signal=B:USR1@60", "--", "train", *SMALL)
  [path] = tmp_path.glob("*.sbatch")
  assert told.out == f"sbatch {path.name}\n" and path.name == "a-run-s-place.sbatch"
  text = path.read_text()
  assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
  options = re.findall(r"(?m)^#SBATCH (.*)$", text)
  assert {"--nodes=2", "--ntasks-per-node=8", "--gpus-per-node=8", "--requeue"} <= {
    *options
  }
  assert options[-1] == "--signal=B:USR1@60", "what the user gives wins"
  # Nothing of this machine but the folder.
  assert str(ROOT) not in text and os.path.expanduser("~") not in text


@pytest.fixture
def job(launch, tmp_path, put_program):
  """Starts the batch file of SMALL, and waits until its step runs."""
  put_program("srun", SRUN)
  put_program("scontrol", SCONTROL)
  launch("--engine=slurm", "--", "train", *SMALL)
  batch = subprocess.Popen(
    ["bash", "a-run-s-place.sbatch"], env=os.environ | {"SLURM_JOB_ID": "42"}
  )
  while not (tmp_path / "started").exists():
    assert batch.poll() is None
    time.sleep(0.02)
  yield batch
  (tmp_path / "ended").write_text("0")
  batch.wait(timeout=10)


def test_a_warned_job_saves_and_goes_back_into_the_queue(job, tmp_path):
  job.send_signal(signal.SIGUSR1)
  assert job.wait(timeout=10) == 138
  assert (tmp_path / "scontrol.arguments").read_text() == "requeue 42\n"
  given = (tmp_path / "srun.arguments").read_text().splitlines()
  assert given[given.index("t5x_like.main") + 1 :] == ["train", *SMALL]


@pytest.mark.parametrize("status", [0, 1])
def test_a_job_that_ends_by_itself_does_not_go_back(job, tmp_path, status):
  (tmp_path / "ended").write_text(str(status))
  assert job.wait(timeout=10) == status
  assert not (tmp_path / "scontrol.arguments").exists()


def test_pods_find_process_0_by_its_name(launch, tmp_path):
  words = ["--engine=k8s", "--nodes=4", "--gpus=8", "--image=i", "--name=A run"]
  words += [f"--volume=shared:{tmp_path}"]
  told = launch(*words, "--out=job.json", "--", "train", *SMALL)
  assert told.out == "kubectl create --filename=job.json\n"
  service, job = json.loads((tmp_path / "job.json").read_text())["items"]
  assert service["spec"]["clusterIP"] == "None"
  assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
  spec = job["spec"]["template"]["spec"]
  # A pod of an Indexed Job is JOB-INDEX, known as JOB-INDEX.SUBDOMAIN.
  assert spec["subdomain"] == service["metadata"]["name"]
  [container] = spec["containers"]
  assert container["resources"]["limits"] == {"nvidia.com/gpu": "8"}
  found = container["command"]
  words = [word.replace("$(JOB_COMPLETION_INDEX)", "3") for word in found[3:]]
  flags = parse_arguments(words)
  assert flags.coordinator_address == "a-run-0.a-run:8476"
  given = flags.coordinator_address, flags.process_count, flags.process_index
  joining._check(*given)  # raises for what cannot be
  assert given[1:] == (4, 3) and job["spec"]["completions"] == 4


def test_workers_of_a_study_do_not_join_each_other(launch, tmp_path):
  words = ["--engine=k8s", "--nodes=4", "--image=i", "--directory=/work"]
  launch(*words, "--", "study", "worker", "--study_dir=/shared/ladder")
  _, job = json.loads((tmp_path / "ladder.json").read_text())["items"]
  [container] = job["spec"]["template"]["spec"]["containers"]
  assert container["command"][-1] == "--study_dir=/shared/ladder"
  assert container["workingDir"] == "/work"


def test_a_tpu_gets_one_line_that_runs_on_all_its_workers(launch, tmp_path):
  words = ("--engine=tpu_vm", "--tpu=pod", "--zone=here", "--directory=my work")
  told = launch(*words, "--", "train", *SMALL)
  line = shlex.split(told.out)
  assert line[:5] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh"]
  assert "--worker=all" in line
  remote = line[-1].removeprefix("--command=")
  assert subprocess.run(["bash", "-n"], input=remote, text=True).returncode == 0
  assert remote.startswith("cd 'my work' && ")
  found = shlex.split(remote)
  given = found[found.index("t5x_like.main") + 1 :]
  assert given == ["train", *SMALL, "--coordinator_address=auto"]
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("engine", "program"),
  [
    (["--engine=slurm"], "sbatch"),
    (["--engine=k8s", "--image=i", "--directory=/work"], "kubectl"),
    (["--engine=tpu_vm", "--tpu=pod"], "gcloud"),
  ],
)
def test_submitting_says_what_the_scheduler_says(
  launch, tmp_path, monkeypatch, put_program, engine, program
):
  # Nothing else is on the path: a scheduler that this machine has is never asked.
  monkeypatch.setenv("PATH", str(tmp_path / "bin"))
  what = ("--", "eval", "--model_dir=runs/small")
  told = launch(*engine, "--submit", *what, status=2)
  assert f"there is no {program} on this machine" in told.err
  put_program(program, "#!/bin/bash\necho submitted: $1\n")
  assert launch(*engine, "--submit", *what).out.startswith("submitted: ")
  told = json.loads(launch(*engine, "--submit", "--json", *what).out)
  assert told["submitted"].startswith("submitted: ") and told["submit"][0] == program


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--engine=slurm"], "launch needs a command after --"),
    (["--engine=slurm", "--", "zoo"], "one of: train, eval, .*; not zoo"),
    (["--engine=slurm", "--", "train", "--gin_fil=x"], "did you mean '--gin_file'"),
    (
      ["--engine=slurm", "--", "train", *SMALL, "--gin.TRAIN_STEP=5"],
      "did you mean 'TRAIN_STEPS'",
    ),
    (["--engine=slurm", "--zone=a", "--", "eval"], "--zone=a needs --engine=tpu_vm"),
    (["--engine=tpu_vm", "--", "eval"], "needs --tpu=NAME"),
    (["--engine=k8s", "--image=i", "--", "eval"], "is on none of the volumes"),
    (["--engine=slurm", "--nodes=0", "--", "eval"], "--nodes=0 must be 1 or more"),
    (
      ["--engine=k8s", "--image=i", "--tasks_per_node=2", "--", "eval"],
      "--tasks_per_node=2 needs --engine=slurm",
    ),
  ],
)
def test_mistakes_are_told_before_anything_is_submitted(
  launch, tmp_path, words, message
):
  assert re.search(message, launch(*words, status=2).err)
  assert not list(tmp_path.iterdir())


def test_a_python_inside_the_folder_is_named_from_there():
  assert command.python("/project/.venv/bin/python", "/project") == ".venv/bin/python"
  assert command.python("/opt/python/bin/python", "/project") == "python"


def test_the_warning_leaves_time_to_save_and_help_shows_an_example():
  assert sbatch.WARNED >= 120
  assert "t5x_like launch --engine=slurm" in flags.EXAMPLES["launch"]
