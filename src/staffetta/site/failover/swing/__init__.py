"""Ways to move the traffic of a pair from one appliance to the other, as the pair job plans them."""
