"""The contracts on one appliance: keeper's verbs and messages, and what base and site tell each other."""
