"""The crossing: two apps with every kind of neighbour, and an outside host that sees them; specs and stations."""
