"""The service process of base: its life under keeper, its door, and the control socket."""
