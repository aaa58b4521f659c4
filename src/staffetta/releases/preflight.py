"""Whether a package can run here: its interpreter is there, for this user, with the ABI and platform it states."""

import json
import os
import subprocess
from pathlib import Path
from typing import Final

from staffetta.packages import Manifest, PackageInfo
from staffetta.releases.errors import PlatformUnfit

_QUESTION: Final = (
    "import json, sys, sysconfig;"
    "print(json.dumps([sysconfig.get_config_var('SOABI'), sysconfig.get_platform(), sys.version_info[:2]]))"
)
_DEADLINE: Final = 20.0


def check_platform(package: PackageInfo | Manifest) -> None:
    """Raise ``PlatformUnfit`` unless the package's interpreter is here and is the one it was built for.

    The interpreter is asked itself, since a file of the right name can be another build.
    """
    interpreter = Path(package.interpreter)
    needed = f"{package.kind} {package.version} needs Python at {interpreter} ({package.python_abi})"
    try:
        interpreter.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise PlatformUnfit(f"{needed}, which is not on this machine. Install it and try again.") from None
    except PermissionError:
        reachable = False  # it lies in somebody's private folder
    else:
        reachable = os.access(interpreter, os.X_OK)
    if not reachable:
        raise PlatformUnfit(f"{needed}, which this user may not run. Install it where all users can run it.")
    python_abi, platform = _ask(interpreter, needed)
    if python_abi != package.python_abi:
        raise PlatformUnfit(f"{needed}, but the one there is {python_abi}.")
    if platform != package.platform:
        raise PlatformUnfit(
            f"{package.kind} {package.version} is for {package.platform}; this machine is {platform}. "
            "Ask for the package that is made for it."
        )


def interpreter_facts(interpreter: Path) -> tuple[str, str, tuple[int, int]]:
    """Return an interpreter's SOABI, platform and version, by asking it; raises ``PlatformUnfit`` if it cannot say."""
    try:
        answer = subprocess.run(
            [interpreter, "-I", "-S", "-c", _QUESTION], capture_output=True, timeout=_DEADLINE, check=True, cwd="/"
        )
        python_abi, platform, (major, minor) = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise PlatformUnfit(f"The Python at {interpreter} does not run: {error}.") from None
    return str(python_abi), str(platform), (int(major), int(minor))


def _ask(interpreter: Path, needed: str) -> tuple[str, str]:
    try:
        python_abi, platform, _ = interpreter_facts(interpreter)
    except PlatformUnfit as error:
        raise PlatformUnfit(f"{needed}. {error.message}") from None
    return python_abi, platform
