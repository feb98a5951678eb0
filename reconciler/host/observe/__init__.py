"""What the host shows, read into values."""
