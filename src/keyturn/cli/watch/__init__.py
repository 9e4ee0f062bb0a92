"""`keyturn watch`: markers as they change."""
