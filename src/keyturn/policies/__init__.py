"""The least that each role has to be allowed, made as an IAM policy; pure, nothing is asked.

`roles` has one function per role, `resources` the ARNs they name, `statements` the document.
"""
