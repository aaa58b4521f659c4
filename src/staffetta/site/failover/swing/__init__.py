"""Ways to move the traffic of a pair from one appliance to the other: each is prepared, taken, given and checked."""
