"""What the rooms share: layouts, links between channels, what a room is, and the reading of a network by all rooms."""
