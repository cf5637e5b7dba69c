"""Getting processes onto machines: what schedulers are given, as text.

Standard library only; nothing here trains, and no scheduler's package is needed.

flags.py       flags of the verb `launch`, and of pods wherever they are asked for
submission.py  handing a written file to a scheduler's own program
pods.py        pods and Indexed Jobs of Kubernetes
"""
