"""One file per family of operators; each function is registered under torch's names for it."""
