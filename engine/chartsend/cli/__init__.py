"""The command line: each command is one call to what lies below."""
