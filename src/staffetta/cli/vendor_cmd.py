"""`staffetta vendor`: build, sign, publish, bundle and serve releases. Asks and prints; `staffetta.vendor` does."""

import re
from pathlib import Path

import click
from aiohttp import web

from staffetta.kernel import log
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import InvalidInput
from staffetta.kernel.sizes import spoken_size
from staffetta.packages import Kind, PackageInfo, Requirement, parse_version
from staffetta.vendor.build import BuildOrder, build
from staffetta.vendor.deb import DebOrder, build_deb
from staffetta.vendor.keys import KeyFolder
from staffetta.vendor.publish import bundle, publish
from staffetta.vendor.repository import Repository
from staffetta.vendor.server import ServerOrder, make_server

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

repository_option = click.option("--repository", type=FOLDER, required=True, help="The repository's folder.")
keys_option = click.option("--keys", type=FOLDER, required=True, help="The folder of private keys.")


@click.group("vendor")
def group() -> None:
    """Build, sign, publish and serve releases."""


@group.command("init")
@repository_option
@keys_option
def init_command(repository: Path, keys: Path) -> None:
    """Make the keys and an empty signed repository."""
    folder = KeyFolder(keys)
    folder.create()
    created = Repository.create(repository, folder, utc_now())
    click.echo(f"Repository: {repository}")
    click.echo(f"Root of trust for new appliances: {created.metadata / '1.root.json'}")
    click.echo(f"Keep {keys / 'offline'} off line between publications; {keys / 'online'} is what a server needs.")


@group.command("build")
@click.option("--kind", type=click.Choice(["base", "site", "client"]), required=True, help="What to build.")
@click.option("--version", required=True, help="The release's version, independent of the source's own.")
@click.option("--source", type=FOLDER, required=True, help="The source tree; its locks/<kind>.txt is used.")
@click.option("--overlay", type=FOLDER, help="A folder laid over a copy of the source tree.")
@click.option("--require", "requires", multiple=True, help="What must be installed first, like base>=1.1; repeatable.")
@click.option("--eula", type=FILE, help="The agreement to accept before installing.")
@click.option("--notes", default="", help="What is new, in a few words.")
@click.option("--output", type=FILE, required=True, help="The package file to write (.tar.zst).")
@click.option("--python", type=FILE, help="The interpreter on the appliances; the first usable one by default.")
@click.option("--cache", type=FOLDER, help="A folder for what further builds can use again.")
@click.option("--level", type=click.IntRange(1, 22), default=3, show_default=True, help="How hard to compress.")
@click.option("--client-bundle", type=FILE, help="For a site: the bundle of client packages it hands out.")
def build_command(
    kind: str,
    version: str,
    source: Path,
    overlay: Path | None,
    requires: tuple[str, ...],
    eula: Path | None,
    notes: str,
    output: Path,
    python: Path | None,
    cache: Path | None,
    level: int,
    client_bundle: Path | None,
) -> None:
    """Build a package file from a source tree.

    \b
    Example:
      staffetta vendor build --kind base --version 1.1.0 --source . --output base.tar.zst
    """
    order = BuildOrder(
        kind=Kind(kind),
        version=parse_version(version),
        source=source,
        output=output,
        overlay=overlay,
        requires=tuple(map(Requirement.parse, requires)),
        eula=eula,
        notes=notes,
        python=python,
        cache=cache,
        level=level,
        client_bundle=client_bundle,
    )
    manifest = build(order)
    click.echo(
        f"{output}: {manifest.kind} {manifest.version}, {spoken_size(output.stat().st_size)} packed, "
        f"{spoken_size(manifest.installed_size)} installed, for {manifest.interpreter}"
    )


@group.command("deb")
@click.option("--version", required=True, help="The package's version.")
@click.option("--source", type=FOLDER, required=True, help="The source tree; its locks/base.txt is used.")
@click.option("--bundle", type=FILE, required=True, help="A bundle that holds the first base package.")
@click.option("--root", type=FILE, required=True, help="The root of trust of new appliances (1.root.json).")
@click.option("--update-server", required=True, help="The update server's URL, as appliances see it.")
@click.option("--maintainer", required=True, help="Who answers for the package: `Name <name@example.com>`.")
@click.option("--output", type=FILE, required=True, help="The package file to write (.deb).")
@click.option("--python", type=FILE, help="The interpreter on the appliances, in /usr/bin.")
@click.option("--cache", type=FOLDER, help="A folder for what further builds can use again.")
def deb_command(
    version: str,
    source: Path,
    bundle: Path,
    root: Path,
    update_server: str,
    maintainer: str,
    output: Path,
    python: Path | None,
    cache: Path | None,
) -> None:
    """Build the Debian package that an appliance is installed from: keeper, the command, a first base."""
    parsed = parse_version(version)
    build_deb(DebOrder(parsed, source, output, bundle, root, update_server, maintainer, python, cache))
    click.echo(f"{output}: {spoken_size(output.stat().st_size)}")


@group.command("publish")
@repository_option
@keys_option
@click.argument("files", type=FILE, nargs=-1, required=True)
def publish_command(repository: Path, keys: Path, files: tuple[Path, ...]) -> None:
    """Sign package files and make them visible."""
    _list(publish(Repository.open(repository), KeyFolder(keys), files, utc_now()))


@group.command("bundle")
@repository_option
@click.argument("targets", nargs=-1, required=True)
@click.option("--output", type=FILE, required=True, help="The bundle file to write.")
def bundle_command(repository: Path, targets: tuple[str, ...], output: Path) -> None:
    """Put packages (kind/version, in the order given) and signed metadata into one file, for use off line."""
    _list(bundle(Repository.open(repository), targets, output))
    click.echo(f"{output}: {spoken_size(output.stat().st_size)}")


@group.command("serve")
@repository_option
@keys_option
@click.option("--listen", required=True, help="ADDRESS:PORT to listen on.")
@click.option("--rate", type=click.IntRange(1), help="Limit of bytes/s for each download.")
def serve_command(repository: Path, keys: Path, listen: str, rate: int | None) -> None:
    """Run the update server until it is told to end.

    \b
    Example:
      staffetta vendor serve --repository repository --keys keys --listen 127.0.0.1:8000
    """
    match = re.fullmatch(r"(?:\[(?P<v6>[0-9a-fA-F:]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})", listen)
    if match is None or int(match["port"]) > 65535:
        raise InvalidInput(f"{listen!r} is no ADDRESS:PORT.")
    log.configure("vendor")
    log.get_logger(__name__).info("serving", extra={"listen": listen, "repository": str(repository)})
    app = make_server(ServerOrder(Repository.open(repository), KeyFolder(keys), rate))
    web.run_app(
        app, host=match["v6"] or match["host"], port=int(match["port"]), access_log=None, print=None, shutdown_timeout=2
    )


def _list(infos: tuple[PackageInfo, ...]) -> None:
    for info in infos:
        click.echo(f"{info.kind}/{info.version}  {info.target}  {spoken_size(info.size)}")
