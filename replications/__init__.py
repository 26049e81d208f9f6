"""One package a paper; none imports another."""
