"""The representative console in a terminal: signs in, lists computers, holds a shell session."""
