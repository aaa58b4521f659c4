"""How many failures lock a user name for an address, and for how long; apart, because settings need them first."""

from datetime import timedelta
from typing import Final

FAILURE_LIMIT: Final = 5
COOL_OFF: Final = timedelta(minutes=5)
