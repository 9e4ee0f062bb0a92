"""Templates' policies beside printed ones: a template cannot hash a secret's name, so it allows each slot."""

from __future__ import annotations


def of_any_slot(policy: object) -> object:
    """A policy without the attributes that it names."""
    match policy:
        case dict():
            kept = {key: value for key, value in policy.items() if key != "dynamodb:Attributes"}
            return {key: of_any_slot(value) for key, value in kept.items()}
        case list():
            return [of_any_slot(one) for one in policy]
    return policy
