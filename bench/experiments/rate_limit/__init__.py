"""Which rate limits does a provider have, and does it keep those that it promises?"""
