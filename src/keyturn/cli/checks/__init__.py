"""What `keyturn doctor` looks at: each check asks AWS a little and gives one finding with its fix.

To add one, write a function of `Subject` that gives a `Finding`, put it into `CHECKS` of its module,
and write a test that produces what it finds.
"""
