"""The representative console in the browser: the list of computers, and a page that is an end of a session (S1)."""
