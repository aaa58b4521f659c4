"""The measuring package lies beside the tests, not in the installed one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
