"""How a network can lie on cores, one strategy a file."""
