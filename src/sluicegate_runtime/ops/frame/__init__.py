"""What the rooms share: limits, windows, activation functions, and what a room is."""
