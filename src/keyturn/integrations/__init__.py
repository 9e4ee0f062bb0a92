"""keyturn's login for the drivers and frameworks that open connections; each module needs its own package.

Nothing is imported here: import the integration by its name.
"""
