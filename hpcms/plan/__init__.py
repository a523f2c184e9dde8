"""What a run will cost before it starts, and how far it was from the limits afterwards."""
