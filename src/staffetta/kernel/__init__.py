"""What every room may stand on: ids, time, errors, state tables, the step journal, settings, logging."""
