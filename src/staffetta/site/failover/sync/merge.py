"""Pure: three versions of configuration to one, after a relationship was broken and established again (F5)."""
