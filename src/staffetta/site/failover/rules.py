"""Pure: what may be established, and what a peer must prove (F1)."""
