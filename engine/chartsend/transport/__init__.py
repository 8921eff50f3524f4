"""HTTP, hardened: the only room that knows aiohttp."""
