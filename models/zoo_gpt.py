"""Zoo: decoders in the line of GPT. See zoo.py.

You are in: models. Data, no logic.
"""

from __future__ import annotations

from models.row import Family

GPT_LIKE: tuple[Family, ...] = ()
