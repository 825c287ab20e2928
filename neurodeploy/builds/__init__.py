"""A build as values: each stage a function from frozen results to a frozen result; the pipeline runs them in order."""
