"""A second version of rules and agents, run beside the first on live traffic; nobody is told but the engineer."""
