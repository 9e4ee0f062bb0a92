"""Amazon's services: clients, what their failures mean, and one module for each thing that is read.

Each module makes one request at a time and parses the answer at this edge; nothing here remembers an
answer. It imports `errors`, `model`, `runtime` and `metrics`, and never the cache.
"""
