"""What every worker imports, loaded once before they are forked."""
