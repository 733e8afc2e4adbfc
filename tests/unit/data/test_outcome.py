"""The findings of a preparation: every cause has its own rows."""

from __future__ import annotations

from core.data.outcome import findings_of
from core.data.rowpass import Outcome


def test_rows_stand_under_their_own_cause() -> None:
    outcome = Outcome()
    outcome.problems["wrong-type"] += [(3, "a number"), (1, "a list"), (7, "a number")]
    found = [(item.code, item.rows, item.cause) for item in findings_of(outcome, 10)]
    assert found == [
        ("wrong-type", (3, 7), "not trained: a number"),
        ("wrong-type", (1,), "not trained: a list"),
    ]


def test_many_causes_end_in_a_number() -> None:
    outcome = Outcome()
    outcome.problems["wrong-type"] += [(row, f"cause {row}") for row in range(11)]
    found = findings_of(outcome, 10)
    assert len(found) == 9 and found[0].rows == (0,)
    assert (found[-1].rows, found[-1].cause) == (
        (8, 9, 10),
        "not trained: 3 other causes, the first: cause 8",
    )
