"""`keyturn doctor`: the command itself, and one module for each group of checks."""
