"""The engine: values, contracts' users, the run."""
