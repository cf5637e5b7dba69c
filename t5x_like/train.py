"""The loop: restore, iterate, step, log, evaluate, save. Read it top to bottom.

You are in: t5x_like, top. `train(run)` is everything the `train` verb does. It holds no
mathematics (step.py), no placement (engine.py) and no format (checkpoint.py,
metrics.py): only their order.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
import time

import jax

from models.components import flops
from t5x_like import (
  evaluate,
  host,
  infer,
  metrics,
  noise,
  optim,
  plot,
  rounding,
  signals,
  trunk,
)
from t5x_like.checkpoint import Checkpointer, restore_params
from t5x_like.data import stages
from t5x_like.engine import Engine
from t5x_like.ledger import Ledger
from t5x_like.progress import Progress
from t5x_like.run import Run
from t5x_like.rundir import RunDirectory
from t5x_like.state import TrainState


def train(run: Run, *, config_text: str, identity: dict) -> int:
  """Runs until `run.steps`, a signal or RUN/STOP; returns the exit status.

  0: the run is complete. 128 + n: stopped by signal n, after a durable checkpoint; the
  same command goes on from there. 75: so at `run.pause`. Raises ValueError for what a user can mend.
  """
  primary = jax.process_index() == 0
  with RunDirectory(run.model_dir, primary=primary) as directory:
    directory.check_identity(identity)
    directory.write_config(config_text)
    with Checkpointer(directory.checkpoints, **run.checkpoint.options()) as checkpoints:
      if (checkpoints.latest() or -1) >= run.steps:
        say(complete(run, directory))
        return 0
      if run.branch and checkpoints.latest() is None:
        trunk.check(run.branch, identity)
      with signals.Stop(directory.path, pause=run.pause) as stop:
        return _Loop(run, directory, checkpoints, stop).run_to_end()


class _Loop:
  """The parts of one training run, and the order in which they act."""

  def __init__(self, run: Run, directory: RunDirectory, checkpoints, stop):
    self.run, self.directory = run, directory
    self.checkpoints, self.stop = checkpoints, stop
    self.engine = Engine(run)
    self.pipeline = evaluate.data(run, self.engine)
    evaluate.check_vocabulary(run, self.pipeline)
    if run.evaluation.batches != 0:
      self.pipeline.evaluations()  # what is wrong with it shows now, not hours later
    say(self.pipeline.describe())

  def run_to_end(self) -> int:
    run, stop = self.run, self.stop
    step = self.checkpoints.latest() or (run.branch.step if run.branch else 0)
    if step and stop.poll(step):
      return self._finish(step)
    self._announce(step)
    self._enter(stages.at(run.settled, step))
    state, data_state = self._start()
    self.first_step = step
    ledger = Ledger(
      self.directory.path, resume_step=step, tensorboard=run.log.tensorboard
    )
    progress = Progress(run.steps, start=step)
    window = metrics.Window(tokens_seen=self.tokens_seen, share=self.engine.share)
    batches = self.pipeline.batches(data_state)
    previous = None
    with ledger, progress:
      while step < run.steps and not stop.requested:
        # ---- data: this process's rows of global batch number `step`
        window.waiting()
        batch, data_state = next(batches)
        window.arrived(batch)
        new_stage = data_state["stage"] != self.stage
        if new_stage:
          self._enter(data_state["stage"])
        # ---- step: dispatched; the previous one is awaited, so the host runs one ahead
        state, new = self.engine.train_step(state, self.engine.put(batch))
        if previous is not None:
          jax.block_until_ready(previous)
          if run.loss_scale is not None:
            run.loss_scale.check(previous)
        previous = new
        window.add(new)
        if new_stage:
          window.restart()  # without the compilation
        step += 1
        stop.poll(step)
        progress.advance(step)
        if step == self.first_step + 1:
          self._after_first(new)
        # ---- log
        last = step == run.steps or stop.requested
        if step % run.log.period == 0 or last:
          ledger.write(step, self._values(step, state, window, data_state))
          progress.update(step, ledger.last)
        # ---- evaluate
        held_out = {}
        if run.evaluation.due(step, run.steps):
          held_out = self._evaluate(step, state, ledger)
          progress.note(step, held_out)
          window.restart()
        # ---- save
        if run.checkpoint.due(step, run.steps) or stop.requested:
          self.tokens_seen = window.tokens_seen
          self._save(step, state, data_state, held_out)
          window.restart()
      batches.close()
      self.checkpoints.wait()
    return self._finish(step)

  def _start(self) -> tuple[TrainState, dict | None]:
    """The newest checkpoint of this run, one of its trunk, another run's parameters, or
    a fresh draw."""
    run, step = self.run, self.checkpoints.latest()
    self.tokens_seen, self.noise, self.best_batch = 0, noise.start(None), {}
    if step is not None or run.branch:
      abstract = self.engine.abstract_state()
      if step is None:
        state, data_state, meta = trunk.restore(run.branch, abstract)
        say(f"branching from step {run.branch.step} of {run.branch.path}")
      else:
        state, data_state, meta = self.checkpoints.restore(abstract, step)
        say(f"continuing from step {step} in {self.directory.path}")
      self.tokens_seen = meta["tokens_seen"]
      self.noise = noise.start(meta.get("noise_scale"))
    else:
      state, data_state = self.engine.initial_state(), None
      if run.restore_from:
        params = restore_params(run.restore_from, self.engine.abstract_state().params)
        state = self.engine.with_params(state, params)
        say(f"starting from the parameters of {run.restore_from}")
    return state, data_state

  def _announce(self, step: int) -> None:
    count = sum(d.size for d in self.engine.declared.values())
    mesh = " x ".join(f"{k} {v}" for k, v in self.engine.mesh.shape.items())
    say(f"model: {count:,} parameters")
    say(f"devices: {jax.device_count()} x {jax.devices()[0].device_kind}; mesh {mesh}")
    say(f"steps {step} to {self.run.steps}")

  def _enter(self, number: int) -> None:
    """Begins a stage, or the run: a new shape of the batch means a new program."""
    run, stage = self.run, self.run.settled[number]
    shapes = stage.task.shapes(stage.lengths, stage.batch)
    lengths = {
      side: shapes[f"{side}_input_tokens"][1]
      for side in ("encoder", "decoder")
      if f"{side}_input_tokens" in shapes
    }
    cost = flops.step_flops(run.model, batch=stage.batch, lengths=lengths)
    self.stage = number
    self.rates = metrics.Rates(
      flops_per_step=cost,
      examples_per_step=stage.batch,
      devices=jax.device_count(),
      device_kind=jax.devices()[0].device_kind,
      dtype=run.execution.compute_dtype,
    )
    for place, kernel in self.engine.kernels(lengths).items():
      say(f"attention kernel, {place}: {kernel}")
    known = len(self.engine.programs)
    self.engine.compile(shapes)
    begin = f"from step {stage.start}: " if len(run.settled) > 1 else ""
    new = "; compiling the training step" if len(self.engine.programs) > known else ""
    say(
      f"{begin}batch {stage.batch}, lengths {stage.lengths}, {cost / 1e9:,.1f} GFLOP a "
      f"step{new}"
    )
    self.started = time.monotonic()

  def _after_first(self, new: dict) -> None:
    jax.block_until_ready(new)
    say(f"first step done after {time.monotonic() - self.started:.1f} s")
    # What exists now lives as long as the run; a collector that walks it again and
    # again would stall single steps.
    gc.collect()
    gc.freeze()

  def _values(self, step: int, state: TrainState, window, data_state: dict) -> dict:
    """One line of the ledger: means over the steps since the last one."""
    values, seconds, steps = window.close()
    # Of the newest update: steps skipped for NaN do not move the schedule.
    newest = max(int(optim.updates_done(state.opt_state)) - 1, 0)
    values["learning_rate"] = float(self.run.optimizer.learning_rate(newest))
    values["parameter_norm"] = float(self.engine.parameter_norm(state.params))
    values |= self.rates(seconds, steps, values)
    values["epoch"] = self.pipeline.epoch(data_state)
    if self.run.noise_scale:
      self.noise, self.best_batch = noise.measured(
        self.noise,
        values,
        batch=self.run.settled[self.stage].batch,
        microbatches=self.run.microbatches,
        steps=self.run.log.period,
      )
      values |= self.best_batch
    return values

  def _evaluate(self, step: int, state: TrainState, ledger) -> dict[str, float]:
    """Held-out losses, and samples, of the averaged parameters if there are any."""
    run = self.run
    params = rounding.widened(state.extra.get("ema", state.params))
    values = evaluate.of_tasks(
      self.engine, params, self.pipeline, run.evaluation.batches
    )
    values = {f"validation/{name}": value for name, value in values.items()}
    ledger.write(step, values)
    if (
      run.evaluation.samples and infer.generates(run.model) and jax.process_count() == 1
    ):
      self._samples(step, params)
    return values

  def _samples(self, step: int, params: dict) -> None:
    """Writes what the model says to the first rows of the validation data."""
    batch = next(next(iter(self.pipeline.evaluations().values())))
    found = infer.continue_rows(
      self.engine,
      params,
      batch,
      vocabulary=self.pipeline.vocabulary,
      count=self.run.evaluation.samples,
    )
    path = self.directory.samples / f"{step:08d}.jsonl"
    lines = [json.dumps(sample, ensure_ascii=False) for sample in found]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

  def _save(self, step: int, state: TrainState, data_state: dict, held_out: dict):
    averages = dataclasses.asdict(self.noise) if self.run.noise_scale else None
    saved = self.checkpoints.save(
      step,
      state,
      data=data_state,
      meta={
        "step": step,
        "model_dir": str(self.directory.path),
        "tokens_seen": self.tokens_seen,
        "noise_scale": averages,
      },
      metrics=held_out or None,
    )
    assert saved, f"the checkpoint manager did not accept step {step}"

  def _finish(self, step: int) -> int:
    picture = plot.plot_loss(self.directory.path, vocabulary=self.run.model.vocab)
    if step < self.run.steps:
      say(
        f"stopped by {self.stop.reason}: step {step} is saved in "
        f"{self.directory.checkpoints}. Run the same command to go on."
      )
      return self.stop.status
    self.directory.write_summary({"step": step, "complete": True})
    say(complete(self.run, self.directory))
    if picture:
      say(f"  loss curve   {picture}")
    if self.run.noise_scale:
      batch = self.run.settled[self.stage].batch
      say(f"  batch        {noise.advice(self.best_batch, batch=batch)}")
    return 0


def complete(run: Run, directory: RunDirectory) -> str:
  """What a finished run tells its user."""
  path, program = directory.path, host.command()
  samples = f"{path}/samples/, " if infer.generates(run.model) else ""
  trying = f"  try it       {program} infer --model_dir={path} --prompt='...'"
  return "\n".join(
    [
      f"The run in {path} is complete: {run.steps} steps. What can be done next:",
      f"  go on        the same command with --gin.TRAIN_STEPS={2 * run.steps}",
      f"  evaluate     {program} eval --model_dir={path}",
      *([trying] if infer.generates(run.model) else []),
      f"  look at it   {path}/metrics.jsonl, {samples}tensorboard --logdir={path}",
      f"  checkpoints  {directory.checkpoints}",
    ]
  )


def say(text: str) -> None:
  """One line to the user, from one process only."""
  if jax.process_index() == 0:
    print(text, file=sys.stderr, flush=True)
