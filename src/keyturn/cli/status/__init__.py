"""`keyturn status` compares the marker table with Secrets Manager, and counts old versions in use."""
