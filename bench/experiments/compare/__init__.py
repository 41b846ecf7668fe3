"""Which is faster, and did it get worse? Two or more arms get the same prompts, in pairs."""
