"""State tables advance by their table alone, and their own faults are found."""

import pytest

from staffetta.kernel.states import IllegalTransition, StateTable, advance

LAMP = StateTable(
    "lamp", "off", {("off", "press"): "on", ("on", "press"): "off", ("on", "break"): "broken"}, frozenset({"broken"})
)


def test_advance_follows_the_table() -> None:
    assert advance(LAMP, "off", "press") == "on"
    assert LAMP.check() == []
    assert LAMP.events == {"press", "break"}


@pytest.mark.parametrize(
    ("state", "event"), [("off", "break"), ("broken", "press"), ("off", "kick"), ("gone", "press")]
)
def test_what_is_not_in_the_table_is_refused(state: str, event: str) -> None:
    with pytest.raises(IllegalTransition, match="lamp"):
        advance(LAMP, state, event)


def test_a_faulty_table_names_its_faults() -> None:
    table = StateTable("t", "a", {("a", "x"): "b", ("c", "x"): "a", ("f", "x"): "a", ("a", "f"): "f"}, frozenset({"f"}))
    assert table.check() == ["t: c cannot be reached", "t: b is a dead end but not final", "t: f is final but left"]
