"""The users of the lab's world, each a process of its own: it works until SIGTERM, then prints what it saw as JSON."""
