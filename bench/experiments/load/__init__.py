"""How fast and how reliable is the target under load? The simplest question: stages, one after the other."""
