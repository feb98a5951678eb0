"""What is timed: queue, watch, loop, execute. `loop` is the page that explains the program."""
