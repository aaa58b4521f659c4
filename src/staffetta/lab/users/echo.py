"""The program a technician works in on the remote computer: shows each key again and writes it to a file.

Standard library only: it is run by whatever Python the remote computer has. Its arguments: the file, and to break
something on purpose ``drop`` or ``double`` and the place of the keystroke that a filter does it to.
"""

import os
import sys
import termios
import tty


def main() -> None:
    """Echo until the key ``Q``."""
    path = sys.argv[1]
    fault, position = (sys.argv[2], int(sys.argv[3])) if len(sys.argv) > 3 else ("", -1)
    before = termios.tcgetattr(0)
    tty.setraw(0)
    seen = 0
    try:
        with open(path, "ab", buffering=0) as file:  # noqa: PTH123 - the remote Python may be any
            os.write(1, b"READY")
            while keys := os.read(0, 4096):
                if seen <= position < seen + len(keys):
                    index = position - seen
                    again = {"drop": b"", "double": keys[index : index + 1] * 2}[fault]
                    seen += len(keys)
                    keys = keys[:index] + again + keys[index + 1 :]
                else:
                    seen += len(keys)
                file.write(keys.replace(b"Q", b""))
                os.write(1, keys.replace(b"Q", b""))
                if b"Q" in keys:
                    break
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
    os.write(1, b"DONE")


if __name__ == "__main__":
    main()
