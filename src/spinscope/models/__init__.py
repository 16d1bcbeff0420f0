"""Networks, a file an architecture, and the folder format they are kept in."""
