"""planner: what a run would cost on devices that are not here.

You are in: t5x_like/planner, behind the verb `plan`. chips.py is a table of devices,
hlo.py reads a partitioned program, program.py compiles one on simulated devices,
predict.py turns bytes and FLOPs into seconds, search.py tries meshes, verb.py prints.
"""
