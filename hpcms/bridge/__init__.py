"""Lift and restrict pairs, with the invariants that they promise and check on every exchange."""
