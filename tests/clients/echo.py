"""On the remote computer: sets its terminal raw, writes every byte it gets to a file and shows it again, until Q."""

import os
import sys
import termios
import tty
from pathlib import Path

before = termios.tcgetattr(0)
tty.setraw(0)
with Path(sys.argv[1]).open("wb", buffering=0) as kept:
    os.write(1, b"READY")
    while b"Q" not in (keys := os.read(0, 4096)):
        kept.write(keys)
        os.write(1, keys)
termios.tcsetattr(0, termios.TCSADRAIN, before)
os.write(1, b"DONE")
