"""docs/requirements.md has one honest row for every id, and every test names an id that exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
COUNTS = {"U": 19, "C": 13, "F": 13, "B": 6, "H": 6, "S": 12, "V": 5}
ROW = re.compile(r"^\| ([A-Z]\d+) \| ([^|]+) \| ([^|]+) \|([^|]*)\|([^|]*)\|$", re.MULTILINE)
MARK = re.compile(r"mark\.req\(([^)]*)\)")


def rows() -> dict[str, tuple[str, str, str, str]]:
    found = ROW.findall((ROOT / "docs/requirements.md").read_text())
    assert len({one[0] for one in found}) == len(found), "an id has two rows"
    return {id_: tuple(cell.strip() for cell in cells) for id_, *cells in found}  # type: ignore[misc]


def expected() -> list[str]:
    return [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]


def test_every_id_has_a_row() -> None:
    assert list(rows()) == expected()


def test_every_state_is_one_of_three_and_says_what_is_missing() -> None:
    for id_, (state, what, where, _test) in rows().items():
        assert re.fullmatch(r"works|not yet|partly: .{10,}", state), f"{id_}: {state!r}"
        assert len(what) > 20, id_
        assert state == "not yet" or where, f"{id_} says where nothing"


def test_what_works_names_tests_that_exist() -> None:
    for id_, (state, _what, where, test) in rows().items():
        paths = re.findall(r"`((?:tests|src|bench|docs)/[^`]+)`", where + test)
        for path in paths:
            assert (ROOT / path).exists(), f"{id_} names {path}, which does not exist"
        if state == "works":
            assert "tests/" in test, f"{id_} works, but names no test"


def test_every_marked_id_exists() -> None:
    known = set(expected())
    for path in (ROOT / "tests").rglob("*.py"):
        for arguments in MARK.findall(path.read_text()):
            for id_ in re.findall(r"\"([^\"]+)\"", arguments):
                assert id_ in known, f"{path.name} marks the unknown requirement {id_}"


def test_what_a_row_names_as_its_tests_is_marked_with_it() -> None:
    marked = {
        (id_, path.relative_to(ROOT).parts[1])
        for path in (ROOT / "tests").rglob("*.py")
        for arguments in MARK.findall(path.read_text())
        for id_ in re.findall(r"\"([^\"]+)\"", arguments)
    }
    for id_, (state, _what, _where, test) in rows().items():
        rooms = re.findall(r"`tests/([^/`]+)", test)
        assert rooms or state == "not yet", f"{id_} names no test"
        for room in rooms:
            assert (id_, room) in marked, f"{id_} names tests/{room}, where no test is marked with it"
