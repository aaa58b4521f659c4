"""The steps by which this room's tables grow; they only add."""
