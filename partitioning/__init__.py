"""Where arrays live. Knows no model and no engine.

axes.py    the dictionary of axis names, logical and of the mesh
rules.py   presets: logical axis -> mesh axis
mesh.py    the device mesh
launch.py  several processes as one run
preflight.py  whether all of them answer
place.py   axes + rules + mesh -> shardings of state, batch and activations
"""
