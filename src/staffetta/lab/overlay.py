"""What the newer release adds to the source tree, or its sickness: what makes upgrades hard.

It adds a field to what is synced between two appliances, with a migration that fills it, a wire capability and a
visible change.

Each change replaces a text that stands exactly once in a file of the tree, so that a tree that has moved on is noticed
at once instead of being built without the change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from staffetta.kernel.errors import Conflict

VISIBLE: Final = "The baton goes on."
CAPABILITY: Final = "baton"
COLUMN: Final = "baton"

_MIGRATION: Final = '''"""Adds a column and gives each row a value that no other appliance would give it."""

from pathlib import Path

from django.db import migrations, models

_LATEST = sorted(path.stem for path in Path(__file__).parent.glob("0*.py"))[-1]


class Migration(migrations.Migration):
    dependencies = [("fleet", _LATEST)]
    operations = [
        migrations.AddField("jumpclient", "baton", models.TextField(null=True)),
        migrations.RunSQL("UPDATE fleet_jumpclient SET baton = lower(hex(randomblob(8)))"),
    ]
'''


class TreeMovedOn(Conflict):
    """A text that the overlay replaces is no longer in the tree exactly once."""

    code = "overlay-outdated"


@dataclass(frozen=True, slots=True)
class Change:
    """One text of one file, and what stands in its place in the newer release."""

    path: str
    old: str
    new: str


_NEWER: Final = (
    Change(
        "src/staffetta/ui/templates/ui/base.html",
        '</span>{% include "ui/languages.html" %}</footer>',
        f' · {VISIBLE}</span>{{% include "ui/languages.html" %}}</footer>',
    ),
    Change(
        "src/staffetta/site/gateway/connect.py",
        'CAPABILITIES: Final = ("shell",',
        f'CAPABILITIES: Final = ("{CAPABILITY}", "shell",',
    ),
    Change(
        "src/staffetta/site/fleet/models.py",
        "    enrolled_by_token = models.CharField(max_length=40)\n",
        f"    enrolled_by_token = models.CharField(max_length=40)\n    {COLUMN} = models.TextField(null=True)\n",
    ),
)

_SICK: Final = {
    "crash": Change(
        "src/staffetta/site/__main__.py",
        "import sys\n",
        'import sys\n\nif sys.argv[1:2] == ["gateway"]:\n    sys.exit("this release is broken on purpose")\n',
    ),
    "hang": Change(
        "src/staffetta/site/__main__.py",
        "import sys\n",
        'import sys\nimport time\n\nif sys.argv[1:2] == ["gateway"]:\n    time.sleep(3600)\n',
    ),
    "probe": Change(
        "src/staffetta/site/support/service.py",
        "def note_attached(",
        "def note_attached(*_: object, **__: object) -> None:\n"
        '    raise RuntimeError("this release is broken on purpose")\n\n\ndef _note_attached(',
    ),
}


def write_overlay(source: Path, folder: Path, *, unhealthy: str = "") -> Path:
    """Write the files in which the newer release differs from ``source`` into ``folder`` and return it.

    ``unhealthy`` is ``crash``, ``hang`` or ``probe``, or empty. Raises ``TreeMovedOn`` when a change does not fit.
    """
    changes: Sequence[Change] = (*_NEWER, _SICK[unhealthy]) if unhealthy else _NEWER
    for change in changes:
        target = folder / change.path
        text = (target if target.exists() else source / change.path).read_text()
        if text.count(change.old) != 1:
            raise TreeMovedOn(f"{change.path} has {change.old!r} {text.count(change.old)} times, not once.")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace(change.old, change.new))
    migration = folder / "src/staffetta/site/fleet/migrations/9001_baton.py"
    migration.parent.mkdir(parents=True, exist_ok=True)
    migration.write_text(_MIGRATION)
    return folder
