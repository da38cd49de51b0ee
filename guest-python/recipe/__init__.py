"""The recipe that turns pinned sources into one guest image."""
