"""How does it fare under load? The plain question: stages, one after the other."""
