"""What every room may stand on: ids, time, sizes, hosts, errors, state tables, the step journal, settings, logging."""
