"""bench: load tests for LLM APIs whose numbers can be believed."""

__version__ = "0.1.0"
