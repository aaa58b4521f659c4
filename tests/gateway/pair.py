"""Two appliances of one pair as real gateway processes over two databases, and what a test does to them."""

import asyncio
import json
import shutil
import socket
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp

from gateway.keeper_stand_in import Started, environment, run_task
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.control.private import Facts, facts
from staffetta.front.certificates import make_self_signed
from staffetta.kernel.clock import utc_now
from staffetta.site.support.segments import RecordedFrame, read_segment

VERSION = "1.0.0"
SHARED = "127.0.0.1:1"
"""Nobody answers there: what follows the primary is not this test's business."""

_PEOPLE = """
import json, django
django.setup()
from staffetta.site.accounts.models import Account
from staffetta.site.data import identity
from staffetta.site.fleet import service as fleet
account = Account.objects.create_account("rita", "correct horse battery staple", is_superuser=True)
token = fleet.make_installer_token("admin", 5, 1)
print(json.dumps({"token": token.text, "key": identity.site_identity().public.hex(), "rep": account.id}))
"""


class Appliance:
    """One appliance: a folder, a port of its own, a gateway process."""

    def __init__(self, paths: AppliancePaths) -> None:
        self.paths = paths
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.gateway: Started | None = None
        self.starts = 0

    def describe(self) -> None:
        """Write who this appliance is, and a certificate that no other shows."""
        self.paths.certificates.mkdir(parents=True)
        (self.paths.certificates / "site.pem").write_bytes(make_self_signed(["localhost"], ["127.0.0.1"], 10))
        described = ApplianceDescription(
            "a", "localhost", "https://127.0.0.1:9443/appliance", f"https://{SHARED}", (self.address,), "http://u"
        )
        self.paths.description.write_bytes(described.to_bytes())
        for folder in (self.paths.site, self.paths.root / "run", self.paths.releases("site") / VERSION):
            folder.mkdir(parents=True, exist_ok=True)
        self.paths.logs.mkdir(exist_ok=True)

    @property
    def generation(self) -> str:
        return f"site-{self.paths.root.name[-4:]}{self.starts}"

    async def start(self) -> None:
        """Start a gateway and let it accept."""
        self.starts += 1
        self.paths.run(self.generation).mkdir()
        log = self.paths.logs / f"{self.generation}.log"
        self.gateway = await Started.start(self.paths, self.generation, "gateway", VERSION, log)
        await self.gateway.hear("ready")
        described = [{"name": "site", "family": "inet", "address": "127.0.0.1", "port": self.port}]
        self.gateway.tell({"do": "activate", "sockets": described}, [self.listener.fileno()])
        await self.gateway.hear("activated")

    async def die(self) -> None:
        """As with the power gone: nobody answers on its port any more."""
        assert self.gateway is not None
        self.gateway.process.kill()
        await self.gateway.process.wait()
        self.gateway = None
        self.listener.close()

    async def end(self) -> None:
        if self.gateway is not None:
            await self.gateway.end()
        self.listener.close()

    def sql(self, statement: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.paths.site / "site.sqlite3", timeout=20)) as database, database:
            return database.execute(statement, values).fetchall()

    def stored_as(self, role: str, term: int) -> None:
        self.sql("update data_siteinstance set role = ?, role_term = ?", (role, term))

    async def becomes(self, role: str, term: int) -> dict[str, object]:
        """Store another role and tell the gateway, as the failover room does."""
        await asyncio.to_thread(self.stored_as, role, term)
        path = str(self.paths.private_socket(self.generation))
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as http,
            http.post("http://private/v1/role") as answer,
        ):
            return dict(await answer.json())

    def related_to(self, peer: "Appliance", peer_leaf: str, peer_role: str) -> None:
        """Store the relationship."""
        self.sql("delete from failover_relationship")
        self.sql(
            "insert into failover_relationship (only, peer_origin, peer_key, peer_host, peer_port, own_host, own_port,"
            " peer_leaf, peer_role, peer_term, established_at, looked_at)"
            " values (1, 'peer', x'00', '127.0.0.1', ?, '127.0.0.1', ?, ?, ?, 1, ?, ?)",
            # Somebody has just looked at the peer: a starting gateway need not ask it.
            (peer.port, self.port, peer_leaf, peer_role, *[f"{utc_now():%Y-%m-%d %H:%M:%S}"] * 2),
        )

    async def facts(self) -> Facts:
        return await facts(self.paths.private_socket(self.generation))

    def log(self) -> str:
        """What its gateway processes have logged."""
        return "".join(path.read_text(errors="replace") for path in self.paths.logs.glob("*.log"))

    def recorded(self) -> list[RecordedFrame]:
        """Every frame in the sealed segments that this appliance has."""
        found: list[RecordedFrame] = []
        for (sha256,) in self.sql("select sha256 from support_sessionsegment"):
            path = next(path for path in self.paths.site.rglob(f"*{str(sha256)[4:]}*") if path.is_file())
            found.extend(read_segment(path.read_bytes())[1])
        return found


class Couple:
    """Appliances A (the primary at first) and B of one site; ``people`` is what the test signs in and enrols with."""

    def __init__(self, one: Appliance, other: Appliance, people: dict[str, str]) -> None:
        self.a = one
        self.b = other
        self.token = people["token"]
        self.site_key = bytes.fromhex(people["key"])
        self.rep = people["rep"]

    def copy_rows(self, source: Appliance, target: Appliance, *tables: str) -> None:
        """What data-sync brings over: rows of these tables, the source's word counting."""
        for table in tables:
            columns = [str(row[1]) for row in source.sql(f"pragma table_info({table})")]
            for row in source.sql(f"select {', '.join(columns)} from {table}"):
                marks = ", ".join("?" * len(row))
                target.sql(f"insert or replace into {table} ({', '.join(columns)}) values ({marks})", row)


@asynccontextmanager
async def a_couple() -> AsyncIterator[Couple]:
    """Two appliances in a relationship, A primary in term 1; both gateways run."""
    folder = Path(tempfile.mkdtemp(prefix="pr-", dir="/tmp"))
    one, other = Appliance(AppliancePaths(folder / "aaaa")), Appliance(AppliancePaths(folder / "bbbb"))
    try:
        one.describe()
        status, result = await run_task(one.paths, "migrate", VERSION)
        assert status == 0, result
        people = await _people(one)
        other.describe()
        # The keys and accounts of the site as they are after the first sync; the records' origin is another.
        shutil.copytree(one.paths.site, other.paths.site, dirs_exist_ok=True)
        other.sql("update data_siteinstance set id = 'another-origin'")
        one.related_to(other, _leaf(other), "backup")
        other.related_to(one, _leaf(one), "primary")
        one.stored_as("primary", 1)
        other.stored_as("backup", 1)
        await one.start()
        await other.start()
        yield Couple(one, other, people)
    finally:
        for appliance in (one, other):
            await appliance.end()
            for log in sorted(appliance.paths.logs.glob("*.log")):
                sys.stdout.write(f"--- {log}\n{log.read_text(errors='replace')[-6000:]}\n")
        shutil.rmtree(folder)


async def _people(appliance: Appliance) -> dict[str, str]:
    variables = environment(appliance.paths, "site-test", "test", VERSION)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _PEOPLE),
        env=variables | {"DJANGO_SETTINGS_MODULE": "staffetta.site.web.settings"},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, str] = json.loads(output.decode().splitlines()[-1])
    return found


def _leaf(appliance: Appliance) -> str:
    from staffetta.front.certificates import CertificateStore

    return CertificateStore(appliance.paths.certificates / "site.pem").sha256()
