"""What a user may write: text to document, with the line and column of every value."""
