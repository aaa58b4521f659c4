"""Data-sync when one side is older than the other remembers, was something else meanwhile, or lost an answer."""

import pytest
from django.contrib.auth.models import Permission

from site_failover.sites import LocalPeer, Site, break_up, establish, round_of, swap
from site_failover.test_sync import documents_of, enrol, make_account, store_file
from staffetta.kernel.clock import utc_now
from staffetta.site.accounts.models import Account
from staffetta.site.data import audit, blobs, documents, identity
from staffetta.site.data.blobs import BlobWriter
from staffetta.site.data.errors import BlobMissing
from staffetta.site.data.models import KeptDocument, Record, SiteInstance, SiteKey
from staffetta.site.data.roles import Role
from staffetta.site.data.secrets import Secret
from staffetta.site.failover.errors import PeerRefused, PeerUnreachable, WrongRole
from staffetta.site.failover.models import SyncState
from staffetta.site.failover.sync import configuration, service
from staffetta.site.failover.sync.configuration import CONFLICT
from staffetta.site.fleet.models import JumpClient, Presence
from staffetta.site.management import files

pytestmark = pytest.mark.usefixtures("template")


def names(site: Site) -> set[str]:
    with site:
        return set(Account.objects.values_list("username", flat=True)) - {"admin"}


def settle(primary: Site, backup: Site) -> None:
    for _ in range(2):
        round_of(primary, backup)
        round_of(backup, primary)


def edited_since(a: Site, b: Site) -> None:
    """Both agree; then accounts are made, removed and changed on A, and B takes all of it over."""
    with a:
        for name in ("old", "gone"):
            make_account(name)
    settle(a, b)


def week_of_work(a: Site, b: Site) -> None:
    with a:
        make_account("new")
        Account.objects.get(username="gone").delete()
        changed = Account.objects.get(username="old")
        changed.email = "new@example.org"
        changed.save()
        audit.note("admin", "test.worked")
    settle(a, b)


def set_back(a: Site, b: Site) -> None:
    """A's disk is that of a week ago again; B has what was done since."""
    edited_since(a, b)
    copy = a.saved()
    week_of_work(a, b)
    a.put_back(copy)
    a.restart()


def look(*sites: Site) -> None:
    for site in sites:
        assert names(site) == {"old", "new"}
        with site:
            assert Account.objects.get(username="old").email == "new@example.org"
            assert not Record.objects.filter(kind=CONFLICT).exists()


@pytest.mark.req("F5")
def test_a_former_primary_restored_from_an_old_copy_sets_nothing_back(pair: tuple[Site, Site]) -> None:
    a, b = pair
    edited_since(a, b)
    copy = a.saved()
    week_of_work(a, b)
    swap(a, b)  # A is lost, B takes over
    with b:
        term = identity.role_term()
    a.put_back(copy)
    a.restart()
    with a:  # it finds a primary with a higher term, and steps down
        SiteInstance.objects.update(role=Role.BACKUP, role_term=term)
        service.begin_role()
    settle(b, a)
    look(a, b)


@pytest.mark.req("F5")
def test_a_primary_restored_from_an_old_copy_gets_back_what_its_backup_has(pair: tuple[Site, Site]) -> None:
    a, b = pair
    set_back(a, b)
    with pytest.raises(WrongRole, match="set back"):
        round_of(b, a)  # sooner than the primary itself has noticed
    settle(a, b)
    look(a, b)


@pytest.mark.req("F5")
def test_what_a_set_back_appliance_has_changed_since_is_joined(pair: tuple[Site, Site]) -> None:
    a, b = pair
    set_back(a, b)
    with a:
        make_account("made-on-the-old-copy")
    settle(a, b)
    assert names(a) == names(b) == {"old", "new", "made-on-the-old-copy"}


@pytest.mark.req("F3")
def test_a_release_that_cannot_say_what_it_changed_is_joined_all_the_same(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    edited_since(a, b)
    break_up(a, b)
    with b:
        make_account("new")
    establish(a, b)
    whole = LocalPeer.get

    def older(self: LocalPeer, path: str, *more: object) -> object:
        if path == "documents/edited":
            raise PeerRefused("This release knows no such thing.", "no-such-question")
        return whole(self, path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalPeer, "get", older)
    settle(a, b)
    assert names(a) == names(b) == {"old", "gone", "new"}


@pytest.mark.req("F3")
def test_a_new_backup_keeps_nothing_of_what_it_changed_alone(pair: tuple[Site, Site]) -> None:
    """The primary has been with another appliance meanwhile: there is nothing to join, and its word holds."""
    a, b = pair
    edited_since(a, b)
    break_up(a, b)
    with b:
        Account.objects.get(username="old").delete()
        changed = Account.objects.get(username="gone")
        changed.email = "b@example.org"
        changed.save()
    with a:
        SyncState.objects.update(common_with="another")
    establish(a, b)
    settle(a, b)
    assert documents_of(a, b) == documents_of(b, a)
    with b:
        assert dict(Account.objects.values_list("username", "email")) == {"admin": "", "old": "", "gone": ""}


@pytest.mark.req("F3")
def test_the_presence_of_a_client_that_the_other_has_removed_holds_nothing_up(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        client = enrol("computer-1")
    settle(a, b)
    break_up(a, b)
    with b:
        Presence.objects.create(client_id=client.pk, holder="g", version="1", last_seen=utc_now(), detail={})
    with a:
        JumpClient.objects.all().delete()
    establish(a, b)
    settle(a, b)
    for site in (a, b):
        with site:
            assert not JumpClient.objects.exists()
            assert not Presence.objects.exists()


@pytest.mark.req("F3")
def test_live_state_that_came_before_what_it_belongs_to_comes_in_the_next_round(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    settle(a, b)
    whole, made = LocalPeer.get, []

    def enrolling(self: LocalPeer, path: str, *more: object) -> object:
        if more and more[0] == {"kind": "live"} and not made:
            with a:
                made.append(enrol("computer-1"))
                Presence.objects.create(client=made[0], holder="g", version="1", last_seen=utc_now(), detail={})
        return whole(self, path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalPeer, "get", enrolling)
    round_of(b, a)
    assert made
    round_of(b, a)
    with b:
        assert Presence.objects.get().client_id == made[0].pk


@pytest.mark.req("F5")
def test_nothing_is_joined_with_a_peer_that_is_still_primary_or_by_one_that_no_longer_is(
    pair: tuple[Site, Site],
) -> None:
    a, b = pair
    settle(a, b)
    with b:
        SiteInstance.objects.update(role=Role.PRIMARY, role_term=9)
        service.begin_role()
    with pytest.raises(WrongRole, match="not become the backup"):
        round_of(b, a)
    with b:
        assert not configuration.is_reconciled()
        peer = LocalPeer(a)
        peer.asker = identity.origin()
        with a:
            SiteInstance.objects.update(role=Role.BACKUP)
        SiteInstance.objects.update(role=Role.BACKUP)
        with pytest.raises(WrongRole, match="by a primary only"):
            configuration.reconcile(peer)


@pytest.mark.req("F5")
def test_an_edit_during_the_joining_is_not_overwritten(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    edited_since(a, b)
    break_up(a, b)
    with b:
        Account.objects.get(username="gone").delete()
    establish(a, b)
    whole = LocalPeer.get

    def editing(self: LocalPeer, path: str, *more: object) -> object:
        answer = whole(self, path, *more)  # type: ignore[arg-type]
        if more and more[0] == {"kind": "live"}:
            with a:
                row = Account.objects.get(username="gone")
                row.email = "just-now@example.org"
                row.save()
        return answer

    monkeypatch.setattr(LocalPeer, "get", editing)
    round_of(a, b)
    assert "gone" in names(a)


@pytest.mark.req("F5")
def test_an_acknowledgement_that_was_lost_is_given_again(pair: tuple[Site, Site]) -> None:
    """Else a removal on the backup while the relationship is broken would be none: the primary would not know that
    both had the document."""
    a, b = pair
    settle(a, b)
    with a:
        make_account("old")
    lost = LocalPeer(a)
    whole = lost.post

    def losing(path: str, body: object) -> object:
        if path == "documents/common":
            raise PeerUnreachable("the cable was pulled")
        return whole(path, body)  # type: ignore[arg-type]

    lost.post = losing  # type: ignore[method-assign, assignment]
    with b, pytest.raises(PeerUnreachable):
        lost.asker = identity.origin()
        service._PACE._next = 0.0
        service.pull(lost)
    round_of(b, a)
    break_up(a, b)
    with b:
        Account.objects.get(username="old").delete()
    establish(a, b)
    settle(a, b)
    assert names(a) == names(b) == set()


@pytest.mark.req("F3")
@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("records/heads", {"heads": [["a", "b", "many"]]}),
        ("records/heads", {"heads": [["a", "b"]]}),
        ("records/heads", {}),
        ("documents/index", {}),
        ("documents/index", {"documents": 5, "types": [], "role": "primary", "term": 2, "reconciled": True}),
        ("documents/index", {"documents": [["x"]], "types": [], "role": "primary", "term": 2, "reconciled": True}),
        ("documents/index", {"documents": [], "types": [], "role": "primary", "term": "high", "reconciled": True}),
    ],
)
def test_an_answer_that_cannot_be_read_is_refused_and_said(
    pair: tuple[Site, Site], path: str, answer: dict[str, object]
) -> None:
    a, b = pair
    settle(a, b)
    peer = LocalPeer(a)
    whole = peer.get
    peer.get = lambda asked, more=None: answer if asked == path else whole(asked, more)  # type: ignore[method-assign]
    with b, pytest.raises(PeerRefused):
        peer.asker = identity.origin()
        service._PACE._next = 0.0
        service.pull(peer)
    with b:
        assert SyncState.objects.get().error


@pytest.mark.req("F3")
def test_bytes_that_the_primary_no_longer_names_go_from_the_backup_too(pair: tuple[Site, Site]) -> None:
    a, b = pair
    with a:
        file, other, kept = (store_file(name, name.encode()) for name in ("gone", "replaced", "kept"))
    settle(a, b)
    with a:
        former = other.sha256
        files.delete("admin", file.pk)
        with BlobWriter() as writer:
            writer.write(b"anew")
            files.store("admin", "replaced", writer)
    settle(a, b)
    with b:
        for sha256 in (file.sha256, former):
            with pytest.raises(BlobMissing):
                blobs.path_of(sha256)
            assert not list((b.folder / "blobs").glob(f"*/{sha256}"))
        assert blobs.path_of(kept.sha256).read_bytes() == b"kept"
        assert not blobs.missing()


@pytest.mark.req("F3")
def test_what_was_kept_comes_once_this_release_knows_it(pair: tuple[Site, Site]) -> None:
    """A right and a secret that an older release could only keep: after its update data-sync brings them."""
    a, b = pair
    with a:
        anna = make_account("anna")
        anna.user_permissions.add(Permission.objects.get(codename="start_sessions"))
        key = SiteKey.objects.create(purpose="new", seed=Secret(b"s" * 32), made_at=utc_now())
    settle(a, b)
    sealed = documents_of(a, b)["data.SiteKey", key.pk]
    with b:  # as the older release left it: the row without the right, the whole of the other only kept
        Account.objects.get(username="anna").user_permissions.clear()
        KeptDocument.objects.create(
            type="accounts.Account", key=anna.pk, whole=False, kind="config",
            body={"user_permissions+": ["accounts.account.start_sessions"]},
        )  # fmt: skip
        token = documents.applying.set(True)
        SiteKey.objects.filter(purpose="new").delete()
        documents.applying.reset(token)
        KeptDocument.objects.create(type="data.SiteKey", key=key.pk, whole=True, kind="config", body=sealed)
        documents.adopt_kept()
    round_of(b, a)
    with b:
        assert Account.objects.get(username="anna").has_perm("accounts.start_sessions")
        assert SiteKey.objects.get(purpose="new").seed.reveal() == b"s" * 32
        assert not KeptDocument.objects.exists()
