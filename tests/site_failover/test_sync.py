"""Data-sync between two whole sites: what comes, what is kept, what is refused."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection

from site_failover.sites import LocalPeer, Site, break_up, establish, round_of, swap
from staffetta.kernel.clock import utc_now
from staffetta.site.accounts.models import Account, WebSession
from staffetta.site.data import blobs, documents, guard, identity, records
from staffetta.site.data.audit import AUDIT
from staffetta.site.data.blobs import BlobWriter
from staffetta.site.data.documents import Document
from staffetta.site.data.errors import ReadOnlyHere
from staffetta.site.data.models import KeptDocument, Record, SiteKey
from staffetta.site.data.sync import Sync
from staffetta.site.failover import syncing
from staffetta.site.failover.errors import PeerUnreachable, WrongRole
from staffetta.site.failover.models import SyncState
from staffetta.site.failover.sync import answers, service
from staffetta.site.failover.sync.configuration import CONFLICT
from staffetta.site.failover.sync.place import sealer
from staffetta.site.fleet.models import InstallerToken, JumpClient
from staffetta.site.fleet.revocation import REVOKED
from staffetta.site.management.models import StoredFile

pytestmark = pytest.mark.usefixtures("template")


def make_account(name: str) -> Account:
    return Account.objects.create_account(name, "a password of theirs")


def enrol(name: str) -> JumpClient:
    return JumpClient.objects.create(
        name=name, public_key=name.encode().ljust(32), platform={"os": "Linux"}, enrolled_at=utc_now(),
        enrolled_by_token="t",
    )  # fmt: skip


def store_file(name: str, content: bytes) -> StoredFile:
    with BlobWriter() as writer:
        writer.write(content)
        stored = writer.store()
    return StoredFile.objects.create(
        name=name, sha256=stored.sha256, size=stored.size, stored_by="admin", stored_at=utc_now()
    )


def documents_of(site: Site, other: Site) -> dict[tuple[str, str], Any]:
    with other:
        origin = identity.origin()
    with site:
        return {(one.type, one.key): one.body for one in documents.collect(Sync.CONFIG, sealer(origin))}


@pytest.mark.req("F3", "S6")
def test_a_backup_becomes_what_the_primary_is(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        key = SiteKey.objects.get().seed
        rita = make_account("rita")
        group = Group.objects.create(name="technicians")
        group.permissions.add(Permission.objects.get(codename="start_sessions"))
        rita.groups.add(group)
        enrol("computer-1")
        WebSession.objects.create(
            token_hash="f" * 64, data="{}", account_id=rita.pk, started_at=utc_now(), expires_at=utc_now()
        )
        records.append("test", {"n": 1})
        store_file("guide.pdf", b"the bytes" * 1000)
    round_of(a, b)
    round_of(b, a)
    assert documents_of(a, b) == documents_of(b, a)
    with b:
        assert SiteKey.objects.get().seed == key, "clients must recognise the site after a change of primary"
        copied = Account.objects.get(username="rita")
        assert copied.has_perm("accounts.start_sessions")
        assert WebSession.objects.get().account_id == copied.pk
        assert Record.objects.filter(kind="test").count() == 1
        assert blobs.path_of(StoredFile.objects.get().sha256).read_bytes() == b"the bytes" * 1000
        state = SyncState.objects.get()
        assert state.finished_at is not None
        assert not state.blobs_behind


@pytest.mark.req("F3")
def test_secrets_are_wrapped_on_their_way_and_sealed_by_each_appliance(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        seed = SiteKey.objects.get().seed.reveal()
    for body in documents_of(a, b).values():
        assert seed.hex() not in str(body)
        assert str(seed) not in str(body)


@pytest.mark.req("F3")
def test_nothing_is_taken_from_a_primary_that_has_not_merged_yet(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with pytest.raises(WrongRole, match="still joining"):
        round_of(b, a)
    with b:
        assert "still joining" in SyncState.objects.get().error


@pytest.mark.req("F2")
def test_a_backup_edits_no_configuration_and_says_where_to(pair: tuple[Site, Site]) -> None:
    a, b = pair
    round_of(a, b)
    round_of(b, a)
    with b, pytest.raises(ReadOnlyHere, match="primary"):
        make_account("mallory")
    with b:
        admin = Account.objects.get(username="admin")
        admin.last_login = utc_now()
        admin.save(update_fields=["last_login"])  # signing in is no edit
        Account.objects.create_account("probe-1", "x", probe=True).delete()
        with pytest.raises(ReadOnlyHere):
            admin.delete()
    with a:
        make_account("anna")
        identity.freeze(utc_now() + timedelta(seconds=30))
        with pytest.raises(ReadOnlyHere, match="few seconds"):
            make_account("bea")
        identity.freeze(utc_now() - timedelta(seconds=1))
        guard.require_editable()  # it thaws by itself


@pytest.mark.req("F3")
def test_what_a_newer_release_wrote_is_kept_and_passed_on(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        client = enrol("computer-1")
    round_of(a, b)
    round_of(b, a)
    with a:
        origin = identity.origin()
    newer = dict(documents_of(a, b)["fleet.JumpClient", client.pk], baton="new field")
    with b:
        documents.apply(
            Sync.CONFIG,
            [
                Document("fleet.JumpClient", client.pk, newer),
                Document("future.Thing", "one", {"x": [1, 2]}),
                Document("accounts.Account", "a1", _account("zoe", groups=[], user_permissions=["future.thing.fly"])),
            ],
            [],
            sealer(origin),
        )
    swap(a, b)
    assert documents_of(b, a)["fleet.JumpClient", client.pk]["baton"] == "new field"
    round_of(b, a)
    round_of(a, b)
    kept = documents_of(a, b)
    assert kept["fleet.JumpClient", client.pk]["baton"] == "new field"
    assert kept["future.Thing", "one"] == {"x": [1, 2]}
    assert kept["accounts.Account", "a1"]["user_permissions"] == ["future.thing.fly"]


@pytest.mark.req("F3")
def test_what_was_kept_goes_into_its_column_once_there_is_one(pair: tuple[Site, Site]) -> None:
    a, _ = pair
    with a:
        client = enrol("computer-1")
        KeptDocument.objects.create(
            type="fleet.JumpClient", key=client.pk, whole=False, kind="config", body={"name": "renamed", "later": 1}
        )
        assert documents.adopt_kept() == 1
        client.refresh_from_db()
        assert client.name == "renamed"
        assert KeptDocument.objects.get().body == {"later": 1}


@pytest.mark.req("F3")
def test_a_field_that_an_older_release_lacks_keeps_its_value(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        client = enrol("computer-1")
    body = dict(documents_of(a, b)["fleet.JumpClient", client.pk])
    del body["platform"]
    body["name"] = "renamed"
    with b:
        origin = identity.origin()
    with a:
        documents.apply(Sync.CONFIG, [Document("fleet.JumpClient", client.pk, body)], [], sealer(origin))
        client.refresh_from_db()
        assert (client.name, client.platform) == ("renamed", {"os": "Linux"})


@pytest.mark.req("F3")
def test_the_records_that_are_behind_are_counted_while_they_come(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    round_of(a, b)
    round_of(b, a)
    monkeypatch.setattr(answers, "RECORDS_AT_ONCE", 4)
    with a:
        for number in range(10):
            records.append("test", {"n": number})
        behind = sum(records.heads().values())
    with b:
        behind -= sum(records.heads().values())
        assert behind >= 10
    fetched = itertools.count()

    def seen() -> int:
        with b:
            return syncing.own_sync().records_behind

    counted: list[int] = []

    class Counting(LocalPeer):
        def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
            if path == "records/fetch":
                counted.append(seen())
                if next(fetched) == 2:
                    raise PeerUnreachable("the cable was pulled")
            return super().post(path, body)

    peer = Counting(a)
    with b:
        peer.asker = identity.origin()
        with pytest.raises(PeerUnreachable):
            service.pull(peer)
    assert counted == [behind, behind - 4, behind - 8], "each batch brings four of them"
    assert seen() == behind - 8, "what has not come is still behind"
    round_of(b, a)
    assert seen() == 0


@pytest.mark.req("F3")
def test_long_records_come_a_few_at_a_time(pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    round_of(a, b)
    round_of(b, a)
    monkeypatch.setattr(answers, "RECORD_BYTES_AT_ONCE", 250)
    with a:
        for number in range(5):
            records.append("test", {"n": number, "text": "x" * 200})
        wanted = records.heads()
    batches: list[int] = []

    class Counting(LocalPeer):
        def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
            answer = super().post(path, body)
            if path == "records/fetch":
                batches.append(len(answer["records"]))
            return answer

    peer = Counting(a)
    with b:
        peer.asker = identity.origin()
        service.pull(peer)
        own = records.heads()
    assert {place: own[place] for place in wanted} == wanted
    assert len(batches) >= 3 and max(batches) == 2, batches


@pytest.mark.req("F5")
def test_both_sides_of_a_break_are_joined(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        for name in ("anna", "bea", "carla", "dora"):
            make_account(name)
    round_of(a, b)
    round_of(b, a)
    break_up(a, b)
    with a:
        _mail("anna", "a@example.org")
        _mail("carla", "from-a@example.org")
        make_account("eva")
        records.append("test", {"from": "A"})
    with b:
        _mail("bea", "b@example.org")
        _mail("carla", "from-b@example.org")
        Account.objects.get(username="dora").delete()
        make_account("fay")
        Account.objects.create_account("eva", "another eva")
        records.append("test", {"from": "B"})
    establish(a, b)
    for _ in range(2):
        round_of(a, b)
        round_of(b, a)
    assert documents_of(a, b) == documents_of(b, a)
    for site in (a, b):
        with site:
            mails = dict(Account.objects.values_list("username", "email"))
            assert mails == {
                "admin": "", "anna": "a@example.org", "bea": "b@example.org", "carla": "from-a@example.org",
                "eva": "", "fay": "",
            }  # fmt: skip
            assert sorted(one.body["from"] for one in Record.objects.filter(kind="test")) == ["A", "B"]
            lost = [one.body["lost"]["email"] or "eva" for one in Record.objects.filter(kind=CONFLICT)]
            assert sorted(lost) == ["eva", "from-b@example.org"]
            assert "another eva" not in str(Record.objects.filter(kind=CONFLICT).values_list("body"))
            told = [one.body for one in Record.objects.filter(kind=AUDIT) if one.body["action"] == CONFLICT]
            assert sorted((one["subject"], one["detail"].get("differed")) for one in told) == [
                ("accounts.Account carla", "email"), ("accounts.Account eva", None)
            ]  # fmt: skip


@pytest.mark.req("F5")
def test_a_revocation_wins_whatever_a_document_says(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        client = enrol("computer-1")
    round_of(a, b)
    round_of(b, a)
    break_up(a, b)
    with b:
        records.append(REVOKED, {"client": client.pk})
        assert JumpClient.objects.get().revoked_at is not None
    with a:
        JumpClient.objects.update(name="renamed on A")
    establish(a, b)
    round_of(a, b)
    round_of(b, a)
    for site in (a, b):
        with site:
            row = JumpClient.objects.get()
            assert row.revoked_at is not None
            assert row.name == "renamed on A"


@pytest.mark.req("F3")
def test_a_new_pair_takes_the_primarys_configuration_and_nothing_of_the_backups(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with b:
        guarded = documents.applying.set(True)
        make_account("only-on-b")
        documents.applying.reset(guarded)
        records.append("test", {"from": "B"})
    round_of(a, b)
    round_of(b, a)
    with b:
        assert not Account.objects.filter(username="only-on-b").exists()
    with a:
        assert Record.objects.filter(kind="test").count() == 1, "what happened on B is data, not configuration"


@pytest.mark.req("F3")
def test_a_blob_that_was_cut_off_goes_on_where_it_stopped(pair: tuple[Site, Site]) -> None:
    a, b = pair
    content = bytes(range(256)) * 40
    with a:
        file = store_file("large", content)
    round_of(a, b)
    peer = LocalPeer(a)
    whole = peer.stream

    def cut_off(path: str, start: int) -> Iterator[bytes]:
        yield from itertools.islice(whole(path, start), 3)
        raise PeerUnreachable("the cable was pulled")

    peer.stream = cut_off  # type: ignore[method-assign]
    with b, pytest.raises(PeerUnreachable):
        peer.asker = identity.origin()
        service.pull(peer)
    with b:
        partial = blobs.incoming_path(file.sha256).stat().st_size
        assert 0 < partial < len(content)
    asked: list[int] = []
    peer.stream = lambda path, start: asked.append(start) or whole(path, start)  # type: ignore[method-assign, func-returns-value]
    with b:
        service.pull(peer)
        assert asked == [partial]
        assert blobs.path_of(file.sha256).read_bytes() == content


@pytest.mark.req("F3")
def test_a_large_blob_does_not_hold_up_the_next_round(pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    content = bytes(range(256)) * 40
    with a:
        file = store_file("large", content)
    round_of(a, b)
    monkeypatch.setattr(service, "_go_on", lambda final: iter([True, *[final] * 100]).__next__)
    round_of(b, a)
    with b:
        state = SyncState.objects.get()
        came = blobs.incoming_path(file.sha256).stat().st_size
        assert 0 < came < len(content)
        assert (state.blobs_behind, state.bytes_behind) == (1, len(content) - came)
        assert state.finished_at is None
    for _ in range(20):
        round_of(b, a)
    with b:
        assert blobs.path_of(file.sha256).read_bytes() == content


@pytest.mark.req("F3")
def test_no_more_is_taken_of_a_blob_than_it_has(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        file = store_file("short", b"x" * 1500)
    round_of(a, b)
    peer, sent = LocalPeer(a), 0

    def endless(path: str, start: int) -> Iterator[bytes]:
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b"x" * 1000

    peer.stream = endless  # type: ignore[method-assign]
    with b:
        peer.asker = identity.origin()
        service.pull(peer)
        assert sent == 2
        assert not blobs.incoming_path(file.sha256).exists()
        assert "more than the 1500 bytes" in SyncState.objects.get().error


@pytest.mark.req("F3")
def test_the_database_is_free_while_a_fetched_file_is_checked(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    with a:
        store_file("large", b"x" * 1500)
    round_of(a, b)
    whole, seen = hashlib.file_digest, []

    def watched(*given: Any) -> Any:
        seen.append(connection.in_atomic_block)
        return whole(*given)

    monkeypatch.setattr(hashlib, "file_digest", watched)
    round_of(b, a)
    assert seen == [False]


@pytest.mark.req("F3")
def test_one_damaged_blob_blocks_no_other(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        bad, good = store_file("bad", b"x" * 10), store_file("good", b"y" * 20)
        path = blobs.path_of(bad.sha256)
        path.chmod(0o600)
        path.write_bytes(b"z" * 10)
    round_of(a, b)
    round_of(b, a)
    with b:
        assert blobs.path_of(good.sha256).read_bytes() == b"y" * 20
        assert [sha256 for sha256, _ in blobs.missing()] == [bad.sha256]
        assert bad.sha256[:12] in SyncState.objects.get().error


@pytest.mark.req("F5")
def test_an_appliance_that_was_set_back_closes_its_incarnation(pair: tuple[Site, Site]) -> None:
    a, b = pair
    round_of(a, b)
    with a:
        records.append("test", {"n": 1})
    before = a.saved()
    with a:
        records.append("test", {"n": 2})
    round_of(b, a)
    a.put_back(before)  # a machine snapshot: the processes go on, with the incarnation they had
    round_of(a, b)
    with a:
        records.append("test", {"n": 3})
    round_of(b, a)
    for site in (a, b):
        with site:
            assert [one.body["n"] for one in Record.objects.filter(kind="test").order_by("at")] == [1, 2, 3]


def _mail(name: str, address: str) -> None:
    account = Account.objects.get(username=name)
    account.email = address
    account.save()


def _account(name: str, **links: list[str]) -> dict[str, Any]:
    return {
        "username": name, "password": "!", "email": "", "is_superuser": False, "is_active": True,
        "must_change_password": False, "created_at": utc_now().isoformat(), **links,
    }  # fmt: skip


def test_an_installer_token_travels(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        InstallerToken.objects.create(
            secret_sha256="a" * 64, made_by="admin", made_at=utc_now(), expires_at=utc_now(), uses_allowed=3
        )
    round_of(a, b)
    round_of(b, a)
    with b:
        assert InstallerToken.objects.get().uses_allowed == 3
