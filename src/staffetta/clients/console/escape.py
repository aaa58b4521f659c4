"""How a rep leaves a session by keyboard: Enter, tilde, dot, as every remote shell has it. Pure.

A tilde counts only right after Enter (or as the first key); it is held until the next key decides: ``.`` leaves,
``~`` sends one tilde, anything else sends both. Everything else passes unchanged.
"""

import dataclasses
from typing import Final

TILDE: Final = ord("~")
DOT: Final = ord(".")
ENTER: Final = (ord("\r"), ord("\n"))


@dataclasses.dataclass(slots=True)
class EscapeFilter:
    """Reads keys, says what to send and whether the rep wants to leave."""

    _line_start: bool = True
    _tilde: bool = False

    def feed(self, keys: bytes) -> tuple[bytes, bool]:
        """Return the bytes to send and True if the rep leaves; what follows the dot is thrown away."""
        if TILDE not in keys and not self._tilde:
            if keys:
                self._line_start = keys[-1] in ENTER
            return keys, False
        send = bytearray()
        for key in keys:
            if self._tilde:
                self._tilde = False
                if key == DOT:
                    return bytes(send), True
                send.append(TILDE)
                if key == TILDE:
                    self._line_start = False
                    continue
            elif self._line_start and key == TILDE:
                self._tilde = True
                continue
            send.append(key)
            self._line_start = key in ENTER
        return bytes(send), False
