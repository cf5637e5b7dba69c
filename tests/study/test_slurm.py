"""Slurm: a stand-in for sbatch runs the tasks of the array that it is given."""

import functools
import subprocess

import pytest
from planted_study import completed, planted

from t5x_like import main
from t5x_like.study import slurm

# As sbatch: takes the script, prints the id; here the tasks run at once, side by side.
SBATCH = """\
#!/bin/bash
[ "$1" = --parsable ] || exit 1
last=$(sed -n 's/^#SBATCH --array=0-//p' "$2")
for task in $(seq 0 "$last"); do
  SLURM_ARRAY_TASK_ID=$task bash "$2" > "$(dirname "$2")/slurm/42_$task.log" 2>&1 &
done
wait
echo '42;cluster'
"""


@pytest.fixture
def sbatch(put_program):
  """Puts a program called sbatch onto the path."""
  return functools.partial(put_program, "sbatch")


def test_the_tasks_of_an_array_run_every_cell_once(tmp_path, sbatch):
  sbatch(SBATCH)
  store = planted(tmp_path / "a study", {"a": {"loss": 3.0}, "b": {"loss": 2.0}}, 3)
  assert slurm.submit(store, workers=3, flags=("--heartbeat=1",)) == "42"
  assert {state.name for state in store.states().values()} == {"done"}
  assert len(completed(store)) == 6
  assert len(list((store.root / "slurm").iterdir())) == 3


def test_the_script_is_valid_and_options_of_the_user_come_last(tmp_path):
  store = planted(tmp_path / "study", {"a": {"loss": 3.0}}, 1)
  text = slurm.script(store, workers=4, options=["--time=4:00:00"], flags=())
  assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
  options = [line for line in text.splitlines() if line.startswith("#SBATCH")]
  assert "#SBATCH --array=0-3" in options
  assert options[-1] == "#SBATCH --time=4:00:00"
  assert text.splitlines()[-1].startswith("exec ")


def test_a_refusal_is_told_in_its_words(tmp_path, sbatch, monkeypatch):
  store = planted(tmp_path / "study", {"a": {"loss": 3.0}}, 1)
  sbatch("#!/bin/bash\necho 'invalid partition' >&2\nexit 1\n")
  with pytest.raises(ValueError, match="status 1.: invalid partition"):
    slurm.submit(store, workers=1)
  monkeypatch.setenv("PATH", str(tmp_path / "empty"))
  with pytest.raises(ValueError, match="no sbatch on this machine; .*slurm.sh is"):
    slurm.submit(store, workers=1)


def test_the_verb_submits_no_more_workers_than_cells(tmp_path, sbatch, capsys):
  sbatch('#!/bin/bash\necho 7 && cp "$2" "$(dirname "$0")/got"\n')
  words = ["study", "run", "--gin_file=studies/tiny_ffn/study.gin", "--workers=9"]
  words += [f"--study_dir={tmp_path / 'study'}", "--sbatch=--gpus=1"]
  assert main.main(words) == 2
  assert "--sbatch=--gpus=1 needs --engine=slurm" in capsys.readouterr().err
  assert main.main([*words, "--engine=slurm"]) == 0
  assert "Slurm job 7: 4 workers for 4 cells" in capsys.readouterr().out
  assert "#SBATCH --gpus=1" in (tmp_path / "bin" / "got").read_text()
