"""Where arrays live. Knows no model and no engine.

axes.py   the dictionary of logical axis names
rules.py  presets: logical axis -> mesh axis
mesh.py   the device mesh, and starting several processes
place.py  axes + rules + mesh -> shardings of state, batch and activations
"""
