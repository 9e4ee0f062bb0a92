"""keyturn's login for drivers and frameworks that open connections. Each module needs its own package.

This package imports nothing: import each integration by its name.
"""
