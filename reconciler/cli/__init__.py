"""The command line: verbs and rendering, no decisions."""
