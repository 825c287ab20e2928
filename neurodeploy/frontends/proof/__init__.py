"""Import proven by execution: the source graph is run against the module itself, and a difference is refused."""
