"""What does the prompt cache save: tokens, milliseconds, money? How long is a prompt kept, and for whom?"""
