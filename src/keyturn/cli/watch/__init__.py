"""`keyturn watch` shows markers as they change."""
