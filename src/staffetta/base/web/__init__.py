"""`/appliance`: the pages an administrator meets; they show and ask what base's service knows and does."""
