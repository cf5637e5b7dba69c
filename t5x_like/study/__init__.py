"""Studies: many runs, one question, an answer with an interval.

Pure (arrays in, numbers out; no disk, no clock, no training):
  laws.py         how loss depends on parameters and tokens
  repeats.py      ... on how often data is seen
  routing.py      ... on experts
  hyperparameters.py  published laws of learning rate and batch size
  downstream.py   how a task's accuracy depends on loss
  levenberg.py    Huber regression from thousands of starts at once
  starts.py       where a fit begins: variable projection, or a published grid
  fit.py          one law fitted to points: constants, prediction, held-out error
  intervals.py    bootstrap, profiles, and what the points do not identify
  allocation.py   the best model and amount of data for a budget
  isoflop.py      Chinchilla's approaches 1 and 2: envelopes and parabolas
  stats.py        comparing arms: paired, unpaired, many at once
  planning.py     seeds that a claim needs, and verdicts over a family of arms
  speedup.py      the compute that a better arm saves
  pruning.py      when a run may be stopped early
  noise_scale.py  gradient noise and the batch size it suggests

A study and its runs:
  study.py        Study, Arm, Seeds: what gin builds
  sweep.py        axes: Grid, Zip, List, LogRange, Random
  ranges.py       what values may be drawn from
  tune.py         Tune: every arm's own search; searches.py: how far it is
  reader.py       builds the runs of a study
  rows.py         an arm at a point, and the address of its result
  tuning.py       rows that wait for a search; rungs.py: where bad trials stop
  cells.py        every run of a study
  budget.py       arms that cost what the baseline costs
  version.py      the version of the code that decides results
  store.py        a study's directory
  claims.py       who may run a cell, decided by files alone
  worker.py       runs one cell after another; launcher.py: several workers
  engines.py      where workers run: launcher.py, slurm.py, k8s.py, ray_tasks.py
  slots.py        a worker's share of cores and accelerators
  outcome.py      how far a run is and how it ended
  index.py        results in SQLite, a cache
  compare.py      arms beside the baseline; compare_text.py: the same as text
  plan_text.py    what a study will cost; progress_text.py: where it is; search_text.py
  running.py      `t5x_like study plan | run | worker | status | compare`

What needs more than arrays:
  conventions.py  FLOPs and parameters of models, as different papers count them
  points.py       measurements from a CSV file
  fit_report.py   what `study fit` says, as a dictionary and as text
  flags.py        flags of the verbs
  verbs.py        `t5x_like study fit`
"""
