"""What follows from a resource: pure functions, without I/O."""
