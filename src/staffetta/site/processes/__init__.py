"""How each process and task of a site release starts, answers keeper and leaves."""
