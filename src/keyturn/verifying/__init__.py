"""Keys for those who verify: the versions that may have signed a message, and when to look again."""
