"""What is deployed into an account: the templates, the Terraform modules, the zips and the layer.

`files` finds them beside the installed package or in a checkout; `listener`, `layer` and `function` build the
zips, and `archives` writes zips that are the same bytes each time. This folder imports no other one and needs
no package, so that a bare Python can build the zips.
"""
