"""Study, arms and axes as values: what they expand to and what they refuse."""

import pytest

from t5x_like.study.study import Arm, Seeds, Study
from t5x_like.study.sweep import (
  Grid,
  Isoflop,
  Ladder,
  List,
  LogRange,
  Random,
  Zip,
  product,
)


def bindings(axis) -> list[tuple[str, ...]]:
  return [point.bindings for point in axis.points()]


def test_a_grid_has_every_combination_the_last_name_fastest():
  assert bindings(Grid(of={"A": [1, 2], "B": ["x", "@y()"]})) == [
    ("A = 1", "B = 'x'"),
    ("A = 1", "B = @y()"),
    ("A = 2", "B = 'x'"),
    ("A = 2", "B = @y()"),
  ]


def test_a_zip_goes_side_by_side():
  assert bindings(Zip(of={"A": [1, 2], "B": [3, 4]})) == [
    ("A = 1", "B = 3"),
    ("A = 2", "B = 4"),
  ]
  with pytest.raises(ValueError, match="give every name as many"):
    Zip(of={"A": [1, 2], "B": [3]}).points()


def test_a_list_names_sets_of_bindings():
  small, large = List(
    name="size", of={"small": [], "large": ["A = 1", "B = 2"]}
  ).points()
  assert (small.labels, small.bindings) == ((("size", "small"),), ())
  assert large.bindings == ("A = 1", "B = 2")


def test_a_log_range_multiplies_by_the_same_factor():
  axis = LogRange(name="A", low=1e-4, high=1e-2, count=3)
  assert bindings(axis) == [("A = 0.0001",), ("A = 0.001",), ("A = 0.01",)]
  whole = LogRange(name="A", low=8, high=64, count=4, whole=True)
  assert bindings(whole) == [("A = 8",), ("A = 16",), ("A = 32",), ("A = 64",)]


def test_an_isoflop_grid_has_every_size_at_every_budget():
  axis = Isoflop(budgets=(1e9, 1e10), of={"s": ["A = 1"], "l": []}, seeds={1e9: (7,)})
  labels = [dict(point.labels) for point in axis.points()]
  assert labels[1:3] == [{"budget": 1e9, "size": "l"}, {"budget": 1e10, "size": "s"}]
  assert [point.length for point in axis.points()] == [("flops", 1e9)] * 2 + [
    ("flops", 1e10)
  ] * 2
  assert [point.seeds for point in axis.points()] == [(7,), (7,), (), ()]
  with pytest.raises(ValueError, match="must be FLOPs above 0"):
    Isoflop(budgets=(), of={"s": []}).points()


def test_random_draws_are_those_of_the_seed():
  of = {"A": ("log", 1e-4, 1e-2), "B": ("int", 1, 9), "C": ("choice", "x", "y")}
  axis = Random(of=of, count=5, seed=1)
  assert axis.points() == axis.points()
  assert axis.points() != Random(of=of, count=5, seed=2).points()
  for point in axis.points():
    labels = dict(point.labels)
    assert 1e-4 <= labels["A"] <= 1e-2 and labels["B"] in range(1, 10)


def test_random_says_how_to_write_a_range():
  with pytest.raises(ValueError, match="must be .'log', low, high."):
    Random(of={"A": ("normal", 0, 1)}, count=1).points()


def test_axes_multiply_and_do_not_set_the_same_name():
  a, b = Grid(of={"A": [1, 2]}), Grid(of={"B": [3]})
  assert len(product((a, b))) == 2
  assert product(()) and product(())[0].bindings == ()
  with pytest.raises(ValueError, match="Two axes set the same name"):
    product((a, a))


def test_swaps_are_bindings():
  arm = Arm(name="plain", swaps={"GatedFFN": "@ffn.FFN()"}, bindings=("X = 1",))
  assert arm.overlay() == (
    "run.Run.swaps = (@swap0/spec.Swap(),)",
    "swap0/spec.Swap.old = 'GatedFFN'",
    "swap0/spec.Swap.new = @ffn.FFN()",
    "X = 1",
  )


@pytest.mark.parametrize(
  "wrong, says",
  [
    ({"arms": ()}, "one or more"),
    ({"baseline": "c"}, "must be one of"),
    ({"match": "seconds"}, "must be one of"),
    ({"base": ()}, "must name the gin files"),
  ],
)
def test_a_study_says_what_is_wrong(wrong, says):
  right = {"name": "s", "base": ("b.gin",), "arms": (Arm(name="a"),)}
  assert Study(**right).baseline == "a"
  with pytest.raises(ValueError, match=says):
    Study(**right | wrong)


def test_seeds_are_different():
  with pytest.raises(ValueError, match="all different"):
    Seeds(values=(1, 1))


def test_a_ladder_has_seeds_and_held_out_sizes_of_its_own():
  axis = Ladder(
    of={"s": ["A = 1"], "l": ["A = 2"]}, seeds={"s": [0, 1, 2]}, held_out=["l"]
  )
  small, large = product((axis, Grid(of={"B": [3]})))
  assert small.labels == (("size", "s"), ("B", 3))
  assert (small.seeds, small.held_out) == ((0, 1, 2), False)
  assert (large.seeds, large.held_out) == ((), True)
  with pytest.raises(ValueError, match=r"name \['xl'\]; sizes are \['s'\]"):
    Ladder(of={"s": []}, held_out=("xl",)).points()
