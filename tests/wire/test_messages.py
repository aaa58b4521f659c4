"""Messages: each survives the way there, ignores what it does not know, and refuses what is missing or wrong."""

import dataclasses

import pytest

from staffetta.wire import fields, frames, messages, notes
from staffetta.wire.errors import FrameError, Problem
from staffetta.wire.listing import pages_of_clients
from staffetta.wire.messages import ListedClient, ShellOptions
from staffetta.wire.vocabulary import ClientMode

ONE_OF_EACH: tuple[messages.Message, ...] = (
    messages.Challenge(bytes(32), "statement"),
    messages.JumpClientHello("client-1", "1.0", bytes(64), ("shell",), {"hostname": "pc"}),
    messages.ConsoleHello("credential", "1.0", bytes(64), ("shell",)),
    messages.Welcome("site-1", "2.0", 1, "statement", 20, ("shell",)),
    messages.Refuse("revoked", "This client was revoked."),
    messages.Invite("session-1", "ticket", "shell", ShellOptions(120, 40)),
    messages.ClientStatus({"update_waiting": "2.0"}),
    messages.NewMode(ClientMode.PASSIVE),
    messages.Rest(),
    messages.ListClients(7),
    messages.Clients(7, (ListedClient("client-1", "Front desk", True, "1.0", "linux", None),), True),
    messages.Open(8, "client-1", "shell", ShellOptions(80, 24)),
    messages.Opened(8, "session-1", "ticket", True),
    messages.Waiting(8, False, "2026-11-24T12:00:00.000Z"),
    messages.Refused(8, "offline", "The computer is not online."),
    messages.Move(1, "statement", "update", ("127.0.10.1:8443",)),
    messages.Move(1, "statement", "update", None),
    messages.Attach("ticket", 3, bytes(64), "1.0", ()),
    messages.Attach("ticket", 3, bytes(64), "1.0", (), 120),
    messages.Attached("session-1", "site-1", "2.0", "ticket", 1, True, True),
    messages.Peer(True, 4),
    messages.NewTicket("ticket"),
    messages.NewStatement("statement"),
    messages.Sync({"0": 1, "1": 2}, {"0": 1}),
    messages.EndSession("typed exit"),
    messages.Ended("typed exit"),
)


def test_the_table_has_every_message() -> None:
    assert {type(message) for message in ONE_OF_EACH} == set(messages.Message.__args__)


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: type(message).__name__)
class TestEveryMessage:
    """The same for each."""

    def test_survives_the_way_there(self, message: messages.Message) -> None:
        frame = frames.decode(messages.encode(message))
        assert isinstance(frame, frames.Control)
        assert messages.parse(frame) == message

    def test_a_field_of_a_newer_version_is_ignored(self, message: messages.Message) -> None:
        values = {**fields.write(message), "type": message.TYPE, "since-version-9": {"a": [1]}}
        assert messages.parse(frames.Control(message.TYPE, values)) == message

    def test_a_missing_field_is_refused_unless_it_has_a_default(self, message: messages.Message) -> None:
        values = fields.write(message)
        for field in dataclasses.fields(message):
            rest = {name: value for name, value in values.items() if name != field.name}
            optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            if optional and field.name != "role":
                messages.parse(frames.Control(message.TYPE, rest))
            else:
                with pytest.raises(FrameError):
                    messages.parse(frames.Control(message.TYPE, rest))

    def test_a_field_of_another_type_is_refused(self, message: messages.Message) -> None:
        values = fields.write(message)
        for field in dataclasses.fields(message):
            for wrong in (1.5, [None], {"a": None}, "\x00!", -1, True):
                if type(wrong) is type(values[field.name]) and wrong != -1:
                    continue
                with pytest.raises(FrameError) as caught:
                    messages.parse(frames.Control(message.TYPE, {**values, field.name: wrong}))
                assert caught.value.problem is Problem.BAD_MESSAGE


@pytest.mark.parametrize("away", [0, 1, 2**63])
def test_an_end_says_how_long_it_was_away(away: int) -> None:
    attach = messages.Attach("ticket", 3, bytes(64), "1.0", (), away)
    frame = frames.decode(messages.encode(attach))
    assert isinstance(frame, frames.Control) and messages.parse(frame) == attach


def test_an_older_end_says_nothing_of_it() -> None:
    old = {"ticket": "ticket", "counter": 3, "proof": fields.to_base64url(bytes(64)), "version": "1.0"}
    attach = messages.parse(frames.Control("attach", old))
    assert isinstance(attach, messages.Attach) and attach.away_ms is None
    assert messages.parse(frames.Control("attach", {**old, "away_ms": None})) == attach


def test_an_unknown_message_is_told_as_such() -> None:
    assert messages.parse(frames.Control("wave", {})) == messages.Unknown("wave")


def test_sync_and_what_is_addressed_to_the_peer_is_relayed() -> None:
    assert messages.goes_to_peer(frames.Control("sync", {}))
    assert messages.goes_to_peer(frames.Control("wave", {"to": "peer"}))
    assert not messages.goes_to_peer(frames.Control("wave", {"to": "site"}))
    assert not messages.goes_to_peer(frames.Control("end", {}))


def test_numbers_and_lengths_are_limited() -> None:
    for kind, values in (
        ("open", {"request": 1, "client": "c", "kind": "shell", "options": {"columns": 0, "rows": 24}}),
        ("open", {"request": -1, "client": "c", "kind": "shell"}),
        ("open", {"request": True, "client": "c", "kind": "shell"}),
        ("open", {"request": 1, "client": "", "kind": "shell"}),
        ("peer", {"present": True, "counter": 2**64}),
        ("challenge", {"nonce": fields.to_base64url(bytes(31)), "statement": "s"}),
        ("challenge", {"nonce": fields.to_base64url(bytes(32)) + "=", "statement": "s"}),
        ("hello", {"role": "gateway"}),
        ("hello", {}),
    ):
        with pytest.raises(FrameError):
            messages.parse(frames.Control(kind, values))


@pytest.mark.parametrize("count", [0, 1, 3, 2000])
def test_a_long_list_of_clients_comes_in_pages_each_a_whole_message(count: int) -> None:
    clients = tuple(
        ListedClient(f"client-{n}", "Büro " * (n % 20) + "x", n % 2 == 0, "1.0", "linux") for n in range(count)
    )
    pages = [messages.parse(frames.decode(page)) for page in pages_of_clients(5, clients)]
    assert [client for page in pages for client in page.clients] == list(clients)
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    assert {page.request for page in pages} == {5}


def test_notes_of_channel_0() -> None:
    for note in (notes.Resize(132, 43), notes.Exit(-9)):
        assert notes.parse_note(notes.encode_note(note)) == note
    assert notes.parse_note(b'{"type":"bell"}') == messages.Unknown("bell")
    for bad in (b"", b"{}", b'{"type":"resize","columns":80}', b'{"type":"exit","status":"0"}', b"\xff"):
        with pytest.raises(FrameError):
            notes.parse_note(bad)
