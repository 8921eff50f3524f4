"""What lies on this machine's disk: which files are meant, what stands beside them, what is our own."""
