"""Kubernetes: a stand-in for kubectl runs the pods of the Job that it is given."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from planted_study import completed, planted

from t5x_like import main
from t5x_like.flags import parse_arguments
from t5x_like.launching import pods
from t5x_like.study import k8s

# As `kubectl create`: runs every index side by side as the container says, one anew while
# it ends as a stopped one does, and prints the name.
KUBECTL = f"""\
#!{sys.executable}
import json, os, subprocess, sys
assert sys.argv[1:3] == ["create", "--output=name"], sys.argv
job = json.load(open(sys.argv[3].removeprefix("--filename=")))
[main] = job["spec"]["template"]["spec"]["containers"]
_, ignored, _ = job["spec"]["podFailurePolicy"]["rules"]
def start(index):
  env = os.environ | {{"JOB_COMPLETION_INDEX": str(index)}}
  env |= {{pair["name"]: pair["value"] for pair in main["env"]}}
  return subprocess.Popen(
    main["command"], cwd=main["workingDir"], env=env, stdout=subprocess.DEVNULL)
running = {{i: start(i) for i in range(job["spec"]["completions"])}}
while running:
  for index, pod in list(running.items()):
    if pod.wait() in ignored["onExitCodes"]["values"]:
      running[index] = start(index)
    else:
      del running[index]
print("job.batch/" + job["metadata"]["generateName"] + "x7k2p")
"""


def pod(*words):
  """What these flags say."""
  command = ["study", "run", "--engine=k8s", "--gin_file=x", *words]
  return pods.pod(parse_arguments(command))


def test_the_pods_of_a_job_run_every_cell_once(tmp_path, put_program):
  put_program("kubectl", KUBECTL)
  store = planted(tmp_path / "study", {"a": {"loss": 3.0}, "b": {"loss": 2.0}}, 2)
  mounts = [f"--volume=here:{tmp_path}", f"--volume=python:{sys.prefix}"]
  job = k8s.submit(store, workers=2, pod=pod("--image=i", *mounts))
  assert job == "job.batch/planted-x7k2p"
  assert {state.name for state in store.states().values()} == {"done"}
  assert len(completed(store)) == 4


def test_a_worker_that_is_evicted_saves_and_says_that_work_is_left(tmp_path):
  store = planted(tmp_path / "study", {"a": {"loss": 3.0, "seconds": 0.1}}, 1)
  job = k8s.manifest(
    store, workers=1, pod=pod("--image=i", f"--volume=here:{tmp_path}")
  )
  spec = job["spec"]["template"]["spec"]
  command = [sys.executable, *spec["containers"][0]["command"][1:]]
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
  ledger = store.folder(store.plan["cells"][0]) / "metrics.jsonl"
  while not ledger.exists() or not ledger.stat().st_size:
    time.sleep(0.05)
  process.send_signal(signal.SIGTERM)
  status = process.wait(timeout=spec["terminationGracePeriodSeconds"])
  assert status in job["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"]
  assert {state.name for state in store.states().values()} == {"queued"}


def test_the_manifest_is_an_indexed_job_whose_pods_are_replaced(tmp_path):
  store = planted(tmp_path / "study", {"a": {"loss": 3.0}}, 1)
  words = ["--image=registry/t5x_like:1", f"--volume=shared:{tmp_path}", "--gpus=2"]
  words += ["--resource=memory=64Gi", '--k8s=nodeSelector={"pool": "h100"}']
  words += ["--k8s=serviceAccountName=trainer", '--k8s=volumes=[{"name": "shm"}]']
  job = json.loads(json.dumps(k8s.manifest(store, workers=3, pod=pod(*words))))
  assert job["metadata"] == {"generateName": "planted-"}
  spec, template = job["spec"], job["spec"]["template"]["spec"]
  assert spec["completionMode"] == "Indexed"
  assert spec["completions"] == spec["parallelism"] == 3
  # The API refuses backoffLimitPerIndex and podFailurePolicy with any other policy.
  assert template["restartPolicy"] == "Never" and spec["backoffLimitPerIndex"] > 0
  assert template["terminationGracePeriodSeconds"] >= 300
  [main_container] = template["containers"]
  limits = {"memory": "64Gi", "nvidia.com/gpu": "2"}
  assert main_container["resources"] == {"limits": limits}
  # Python of the image: this machine's is on no volume.
  assert main_container["command"][0] == "python"
  assert main_container["volumeMounts"][0]["mountPath"] == str(tmp_path)
  claims = [v.get("persistentVolumeClaim") for v in template["volumes"]]
  assert claims == [{"claimName": "shared"}, None]
  assert template["nodeSelector"] == {"pool": "h100"}
  assert template["serviceAccountName"] == "trainer"


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--volume=c:/mnt"], "needs --image=IMAGE"),
    (["--image=i", "--volume=/mnt"], "--volume=/mnt must be CLAIM:PATH"),
    (["--image=i", "--resource=gpu"], "--resource=gpu must be --resource=NAME=VALUE"),
    (["--image=i", "--volume=c:/elsewhere"], "is on none of the volumes .*/elsewhere"),
  ],
)
def test_what_cannot_be_is_told_with_what_to_give(tmp_path, words, message):
  store = planted(tmp_path / "study", {"a": {"loss": 3.0}}, 1)
  with pytest.raises(ValueError, match=message):
    k8s.manifest(store, workers=1, pod=pod(*words))


def test_a_refusal_is_told_in_its_words(tmp_path, put_program, monkeypatch):
  store = planted(tmp_path / "study", {"a": {"loss": 3.0}}, 1)
  here = pod("--image=i", f"--volume=c:{tmp_path}")
  put_program("kubectl", "#!/bin/bash\necho 'forbidden' >&2\nexit 1\n")
  with pytest.raises(ValueError, match="kubectl refused .*k8s.json .status 1.: forb"):
    k8s.submit(store, workers=1, pod=here)
  monkeypatch.setenv("PATH", str(tmp_path / "empty"))
  with pytest.raises(ValueError, match="no kubectl on this machine; .*k8s.json is"):
    k8s.submit(store, workers=1, pod=here)


def test_the_verb_submits_no_more_pods_than_cells(
  tmp_path, put_program, monkeypatch, capsys
):
  put_program("kubectl", "#!/bin/bash\necho job.batch/tiny-ffn-x7k2p\n")
  monkeypatch.chdir(tmp_path)
  words = ["study", "run", "--gin_file=studies/tiny_ffn/study.gin", "--workers=9"]
  words += [f"--study_dir={tmp_path / 'study'}", "--image=i", f"--volume=c:{tmp_path}"]
  assert main.main(words) == 2
  assert "--image=i needs --engine=k8s" in capsys.readouterr().err
  assert main.main([*words, "--engine=k8s"]) == 0
  printed = capsys.readouterr().out
  assert "Kubernetes job.batch/tiny-ffn-x7k2p: 4 workers for 4 cells" in printed
  job = json.loads((tmp_path / "study" / "k8s.json").read_text())
  assert job["spec"]["completions"] == 4
  assert os.path.samefile(
    job["spec"]["template"]["spec"]["containers"][0]["workingDir"], tmp_path
  )
