"""The contracts: what a provider of each kind implements."""
