"""Index: results of a study in SQLite, so that thousands are read at once.

You are in: t5x_like/study, the edge (standard library only). A cache and nothing more:
every row is a result.json, which never changes, so rows are added and never updated.
Delete the file and the next reader makes it again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from t5x_like.study import claims
from t5x_like.study.store import State, Store

FILE = "index.sqlite"
TABLE = """CREATE TABLE IF NOT EXISTS result(
  address TEXT PRIMARY KEY, arm TEXT, point TEXT, seed INTEGER, state TEXT,
  value REAL, steps INTEGER, params INTEGER, tokens INTEGER, flops REAL, seconds REAL,
  whole TEXT)"""


def states(store: Store, *, expiry: float = claims.EXPIRY) -> dict[str, State]:
  """Address -> state of all that is run; results are read once in a lifetime."""
  with _open(store) as database:
    rows = database.execute("SELECT address, whole FROM result").fetchall()
    known = {address: json.loads(whole) for address, whole in rows}
    now, found, new = claims.clock(store.root), {}, []
    for cell in store.queue:
      result = known.get(cell["address"])
      if result is None:
        state = store.state(cell, now=now, expiry=expiry)
        if state.result is not None:
          new.append(_row(state.result))
      else:
        state = State(result["state"], result["reason"], result["attempt"], result)
      found[cell["address"]] = state
    marks = ", ".join("?" * 12)
    database.executemany(f"INSERT OR IGNORE INTO result VALUES ({marks})", new)
    database.commit()
  return found


def _row(result: dict) -> tuple:
  names = ("address", "arm", "point", "seed", "state", "value", "steps", "params")
  names += ("tokens", "flops", "seconds")
  values = [result[name] for name in names]
  values[2] = json.dumps(values[2])
  return (*values, json.dumps(result))


@contextmanager
def _open(store: Store) -> Iterator[sqlite3.Connection]:
  """The database; in memory where the directory cannot be written to."""
  try:
    database = sqlite3.connect(store.root / FILE, timeout=30.0)
    database.execute(TABLE)
  except sqlite3.OperationalError:
    database = sqlite3.connect(":memory:")
    database.execute(TABLE)
  with closing(database):
    yield database
