"""Stands in for `t5x_like train` where the trainer is not the point: standard library
only, so that a study of dozens of runs takes seconds.

Takes the same flags; a run has 20 steps, a checkpoint every 5, goes on after a kill, and
ends with a loss that its configuration and its seed decide. Every end is noted in
`completed.txt` beside the plan. "keep": a step whose checkpoint branches go on from;
"stop": one at which it diverges; "losses": {step: loss}, of evaluations.
"""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

STEPS, PERIOD = 20, 5


def main() -> int:
  words = "\n".join(sys.argv)
  run = Path(re.search(r"model_dir = '(.*)'", words)[1])
  seed = int(re.search(r"seed = (\d+)", words)[1])
  how = json.loads(Path(re.search(r"--gin_file=(.*)", words)[1]).read_text())
  stop = []
  signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
  if how.get("fail"):
    print("Traceback (most recent call last):\nerror: the arm cannot be built")
    return 2
  saved = run / "checkpoint"
  step = int(saved.read_text()) if saved.exists() else begin(words)
  pause = re.search(r"pause = (\d+)", words)
  pause = int(pause[1]) if pause else STEPS
  if step == STEPS:  # as the trainer: a run that is complete is not run
    return 0
  with open(run / "metrics.jsonl", "a") as ledger:
    while step < pause and not stop:
      time.sleep(how.get("seconds", 0.01))
      step += 1
      loss = how["loss"] + seed / 10 + 1 / step
      line = {"step": step, "time": time.time(), "loss": loss}
      measured = how.get("losses", {str(STEPS): loss})
      if str(step) in measured:
        loss = measured[str(step)]
        line["validation/loss"] = "nan" if how.get("diverge") else loss
      ledger.write(json.dumps(line) + "\n")
      ledger.flush()
      if step == how.get("stop"):
        return 42
      if step == how.get("keep"):
        (run / "checkpoints" / str(step)).mkdir(parents=True, exist_ok=True)
        (run / "checkpoints" / str(step) / "manifest.json").touch()
      if step % PERIOD == 0:
        save(saved, step)
  if stop:
    save(saved, step)
    return 128 + 15
  if step < STEPS:
    save(saved, step)
    return 75
  with open(run.parents[2] / "completed.txt", "a") as file:
    file.write(f"{run.name}\n")
  return 0


def save(saved: Path, step: int) -> None:
  """At once: a killed worker leaves its run behind for a moment, beside the next attempt."""
  new = saved.with_suffix(f".{os.getpid()}")
  new.write_text(str(step))
  os.replace(new, saved)


def begin(words: str) -> int:
  """The step of the trunk that this branch goes on from; 0 for other runs."""
  trunk = re.search(r"run.Branch.path = '(.*)'", words)
  if trunk is None:
    return 0
  [kept] = (Path(trunk[1]) / "checkpoints").glob("*/manifest.json")
  return int(kept.parent.name)


if __name__ == "__main__":
  sys.exit(main())
