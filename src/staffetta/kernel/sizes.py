"""Sizes as people read them."""


def megabytes(size: int) -> str:
    """Return a size in bytes as MB (10⁶ bytes), for commands, errors and logs."""
    return f"{size / 1_000_000:.1f} MB"
