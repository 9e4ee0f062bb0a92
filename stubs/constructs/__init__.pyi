# The part of the constructs package that keyturn.cdk uses, since mypy would read megabytes of the real one.

class Construct:
    def __init__(self, scope: Construct, id: str) -> None: ...
