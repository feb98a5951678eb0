"""What is touched: one thin class per port. Does as told or raises HostError; never decides."""
