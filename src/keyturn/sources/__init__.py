"""Where secrets are read: one module per service, and what its failures mean."""
