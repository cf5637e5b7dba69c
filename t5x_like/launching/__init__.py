"""Getting processes onto machines: what schedulers are given, as text.

Standard library only; nothing here trains, and no scheduler's package is needed.

flags.py       flags of the verb `launch`, and of pods wherever they are asked for
verb.py        the verb: writes a file, submits it when asked
command.py     what every process runs
sbatch.py      Slurm: a batch file
jobs.py        Kubernetes: a Service and a Job; pods.py: pods, here and for studies
tpu_vm.py      TPU VMs: a command line
submission.py  handing a written file to a scheduler's own program
"""
