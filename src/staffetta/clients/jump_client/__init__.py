"""The Jump Client: an unattended agent that keeps a connection open and runs a shell for each session."""
