"""What Redox takes and says: routes, limits, messages, addresses, replies. Pure: no I/O, no clock."""
