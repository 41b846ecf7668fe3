"""Which is faster, and did it get worse: the same prompts to two or more arms, in pairs."""
