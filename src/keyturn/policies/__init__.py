"""The least-privilege IAM policy of each role. Nothing here calls AWS.

`roles` has one function per role, `resources` makes the ARNs, and `statements` the document.
"""
