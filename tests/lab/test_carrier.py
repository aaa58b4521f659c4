"""The user who moves files sees every byte that is missing, other, or too many."""

from pathlib import Path

from staffetta.lab.users.carrier import compare_files, sha256_of, write_random


def test_a_file_is_what_its_hash_says(tmp_path: Path) -> None:
    assert write_random(tmp_path / "source", 2) == sha256_of(tmp_path / "source")
    assert (tmp_path / "source").stat().st_size == 2_000_000
    assert sha256_of(tmp_path / "absent") == ""


def test_bytes_that_are_missing_other_or_too_many_are_counted(tmp_path: Path) -> None:
    source, arrived = tmp_path / "source", tmp_path / "arrived"
    write_random(source, 2)
    content = source.read_bytes()
    assert compare_files(source, arrived) == (2_000_000, 0), "nothing arrived"
    for changed, expected in (
        (content, (0, 0)),
        (content[:-5], (5, 0)),
        (content + content[-7:], (0, 7)),
        (content[:1_500_000] + bytes([content[1_500_000] ^ 1]) + content[1_500_001:], (1, 0)),
    ):
        arrived.write_bytes(changed)
        assert compare_files(source, arrived) == expected
