"""The TLS door of a program: sockets from keeper, certificates swapped live, drain, pages of a local process."""
