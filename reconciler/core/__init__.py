"""What is decided: values in, values out. No input or output, clock, thread, randomness or log; time is an argument."""
