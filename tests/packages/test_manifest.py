"""A manifest reads back as it was written, and nothing that could reach outside a release is let in."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staffetta.packages import Kind, Link, Manifest, RegularFile, Requirement, Version
from staffetta.packages.errors import DocumentInvalid

HASH = "ab" * 32
MANIFEST = Manifest(
    kind=Kind.SITE,
    version=Version("1.4.0"),
    python_abi="cpython-311-x86_64-linux-gnu",
    platform="linux-x86_64",
    interpreter="/usr/bin/python3.11",
    requires=(Requirement.parse("base>=1.1"),),
    eula=None,
    notes="What is new",
    files=(
        Link("bin/python", "/usr/bin/python3.11"),
        Link("bin/python3", "python"),
        RegularFile("bin/run", HASH, 12, 0o755),
        RegularFile("lib/a b.py", HASH, 7, 0o644),
        Link("lib64", "lib"),
    ),
)


def with_entry(entry: Any) -> Manifest:
    return replace(MANIFEST, files=(*MANIFEST.files, entry))


@pytest.mark.req("U1")
def test_a_manifest_reads_back_as_it_was_written() -> None:
    assert Manifest.parse(MANIFEST.to_bytes()) == MANIFEST
    assert MANIFEST.installed_size == 19


@pytest.mark.req("U14")
@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "lib/../../x",
        "lib//x",
        "./x",
        "lib/.",
        "",
        "lib64/x",
        "bin/run/x",
        "a\nb",
        "manifest.json",
    ],
)
def test_a_path_that_leads_out_or_through_a_link_is_refused(path: str) -> None:
    fields = json.loads(MANIFEST.to_bytes())
    fields["files"].append({"path": path, "sha256": HASH, "size": 0, "mode": 0o644})
    with pytest.raises(DocumentInvalid):
        Manifest.parse(json.dumps(fields).encode())


@pytest.mark.req("U14")
@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("lib/out", "../../etc"),
        ("lib/out", "/etc/passwd"),
        ("lib/out", "../lib64/../.."),
        ("lib/out", "nowhere"),
        ("lib/out", "../lib64/a b.py"),
        ("lib/out", ""),
        ("lib/out", "./a b.py"),
        ("bin/python4", "/usr/bin/python3.11"),
    ],
)
def test_a_link_that_leads_out_or_nowhere_is_refused(path: str, target: str) -> None:
    with pytest.raises(DocumentInvalid):
        with_entry(Link(path, target)).to_bytes()


@pytest.mark.req("U14")
def test_the_interpreter_link_is_the_one_that_is_named() -> None:
    other = replace(MANIFEST, interpreter="/tmp/python")
    with pytest.raises(DocumentInvalid, match="not to the interpreter"):
        other.to_bytes()


@pytest.mark.parametrize("mode", [0o4755, 0o777, 0o666, 0o600, 0])
def test_only_plain_modes_go(mode: int) -> None:
    with pytest.raises(DocumentInvalid, match="mode"):
        with_entry(RegularFile("lib/x", HASH, 0, mode)).to_bytes()


def test_the_agreement_is_the_one_the_manifest_states() -> None:
    with pytest.raises(DocumentInvalid, match="agreement"):
        with_entry(RegularFile("EULA.txt", HASH, 1, 0o644)).to_bytes()
    with pytest.raises(DocumentInvalid, match="agreement"):
        replace(MANIFEST, eula=HASH).to_bytes()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(json.loads(MANIFEST.to_bytes()))), json_values)
def test_any_other_value_in_any_field_is_refused_or_read_never_an_accident(field: str, value: object) -> None:
    fields = json.loads(MANIFEST.to_bytes()) | {field: value}
    try:
        Manifest.parse(json.dumps(fields).encode())
    except DocumentInvalid as error:
        assert error.message


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(DocumentInvalid):
        Manifest.parse(data)


plain = st.sampled_from(["a", "b", "bin", "lib", "..", ".", "lib64"])
paths = st.lists(plain, min_size=1, max_size=4).map("/".join)


@pytest.mark.req("U14")
@settings(deadline=None)
@given(st.lists(st.tuples(paths, st.none() | paths), max_size=6))
def test_whatever_is_accepted_stays_inside_when_it_is_made_for_real(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str | None]]
) -> None:
    files = tuple(
        RegularFile(path, HASH, 0, 0o644) if target is None else Link(path, target) for path, target in entries
    )
    try:
        replace(MANIFEST, files=files).to_bytes()
    except DocumentInvalid:
        return
    root = tmp_path_factory.mktemp("tree") / "inside"
    for entry in sorted(files, key=lambda entry: isinstance(entry, Link)):
        path = root / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, Link):
            path.symlink_to(entry.target)
        else:
            path.write_bytes(b"")
    for entry in files:
        real = (root / entry.path).resolve(strict=False)
        assert real.is_relative_to(root.resolve())
