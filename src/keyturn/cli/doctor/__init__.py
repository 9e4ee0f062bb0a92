"""`keyturn doctor`: one module for each kind of thing that it looks at, and the command itself."""
