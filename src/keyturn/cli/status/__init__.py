"""`keyturn status`: the marker table beside Secrets Manager, and the environments that hold old versions."""
