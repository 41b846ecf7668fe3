"""What is asked: a provider somewhere, or a server that a run starts on this machine and stops again."""
