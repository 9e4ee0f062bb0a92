"""What is deployed into an account: the template, the Terraform module, the listener's zip and the layer.

`files` finds them beside the installed package or in a checkout, `listener` and `layer` build the two zips,
and `archives` writes zips that are the same bytes each time. This folder imports no other one and needs no
package, so that a bare Python can build the zips.
"""
