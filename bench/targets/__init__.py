"""Targets of a load: a provider, or a server that a run starts on this machine and stops again."""
