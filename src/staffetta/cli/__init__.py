"""The `staffetta` command: one file per group of commands; asks, prints, never decides."""
