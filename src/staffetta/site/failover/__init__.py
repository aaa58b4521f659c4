"""The pair: who is primary, the relationship between two appliances, their data-sync and their joint upgrade."""
