"""Releases fetched and on a disk: the one wrapper of the TUF client, and the tree that stages, checks and flips."""

from staffetta.releases.clients import ClientBundle, open_client_bundle
from staffetta.releases.repository import TrustedRepository, open_bundle, open_repository
from staffetta.releases.server import Checked, UpdateServer
from staffetta.releases.tree import ReleaseTree

__all__ = [
    "Checked",
    "ClientBundle",
    "ReleaseTree",
    "TrustedRepository",
    "UpdateServer",
    "open_bundle",
    "open_client_bundle",
    "open_repository",
]
