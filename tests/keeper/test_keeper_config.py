"""Keeper's configuration and memory: strict, and written so that a power cut leaves the old or the new."""

import json
import os
from pathlib import Path

import pytest

from staffetta.keeper import Refusal
from staffetta.keeper.config import Config, SocketMemory, load_config, load_memory

PROGRAM = {"uid": None, "gid": None, "groups": [], "processes": ["service", "web"], "tasks": ["migrate"]}
SOCKET = {"name": "s", "program": "base", "process": "service", "address": "127.0.10.1", "port": 9443}
GOOD = {"appliance": "a", "programs": {"base": PROGRAM}, "verb_holder": ["base", "service"], "sockets": [SOCKET]}


def load(root: Path, **changes: object) -> Config:
    (root / "keeper").mkdir(exist_ok=True)
    (root / "keeper" / "config.json").write_text(json.dumps({**GOOD, **changes}))
    return load_config(root)


def test_the_contract_form_is_read(tmp_path: Path) -> None:
    control = {**SOCKET, "name": "c", "path": str(tmp_path / "run" / "control.sock"), "mode": 432, "group": 7}
    del control["address"], control["port"]
    config = load(tmp_path, sockets=[SOCKET, control], proving_seconds=3)
    assert config.proving_seconds == 3
    assert not config.owns_machine
    tcp, unix = config.sockets
    assert (tcp.family, tcp.port) == ("inet", 9443)
    assert (unix.family, unix.mode, unix.group, unix.port) == ("unix", 0o660, 7, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"programs": {}},
        {"programs": {"Base": PROGRAM}},
        {"programs": {"base": {**PROGRAM, "uid": 0, "gid": 0}}},
        {"programs": {"base": {**PROGRAM, "uid": 5}}},
        {"programs": {"base": {**PROGRAM, "uid": 5, "gid": 5, "groups": [0]}}},
        {"programs": {"base": {**PROGRAM, "uid": True, "gid": True}}},
        {"programs": {"base": {**PROGRAM, "processes": []}}},
        {"programs": {"base": {**PROGRAM, "tasks": ["web"]}}},
        {"programs": {"base": {**PROGRAM, "shell": "yes"}}},
        {"verb_holder": ["base", "gateway"]},
        {"verb_holder": ["site", "web"]},
        {"verb_holder": "base"},
        {"proving_seconds": 0},
        {"proving_seconds": "60"},
        {"unknown": 1},
        {"appliance": ""},
        {"sockets": [{**SOCKET, "port": 0}]},
        {"sockets": [{**SOCKET, "port": None}]},
        {"sockets": [{**SOCKET, "address": "example.org"}]},
        {"sockets": [{**SOCKET, "address": "/tmp/x.sock", "port": None}]},
        {"sockets": [{**SOCKET, "process": "gateway"}]},
        {"sockets": [{**SOCKET, "name": "../x"}]},
        {"sockets": [{**SOCKET, "more": 1}]},
        {"sockets": [7]},
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(Refusal):
        load(tmp_path, **changes)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may run programs as anybody")
def test_only_root_runs_programs_as_others(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="only root"):
        load(tmp_path, programs={"base": {**PROGRAM, "uid": os.geteuid() + 1, "gid": 5}})


def test_memory_keeps_what_was_opened_and_closed(tmp_path: Path) -> None:
    config = load(tmp_path)
    configured = config.sockets[0]
    more = load(tmp_path, sockets=[{**SOCKET, "name": "more", "port": 1}]).sockets[0]
    memory = load_memory(config)
    assert memory.wanted(config) == (configured,)
    memory = memory.with_socket(more).without_socket("s", config)
    memory.save(tmp_path)
    assert load_memory(config) == memory
    assert load_memory(config).wanted(config) == (more,)
    memory = memory.with_socket(configured).without_socket("more", config)
    memory.save(tmp_path)
    assert load_memory(config).wanted(config) == (configured,)
    assert sorted(one.name for one in (tmp_path / "keeper").iterdir()) == ["config.json", "state.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"sockets": 1, "closed": []}', '{"sockets": [{}], "closed": []}'])
def test_damaged_memory_is_named(tmp_path: Path, text: str) -> None:
    config = load(tmp_path)
    (tmp_path / "keeper" / "state.json").write_text(text)
    with pytest.raises(Refusal):
        load_memory(config)


def test_nothing_remembered(tmp_path: Path) -> None:
    assert load_memory(load(tmp_path)) == SocketMemory()
