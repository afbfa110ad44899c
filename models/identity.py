"""Whether two models are the same: by the hash of their weights and of how inputs are prepared for them.

A model's name ends in that identity, `dinov2-small@1a2b3c4d.5e6f7a8b`: the weights, then the preparation where files
say it. Where the model was found is no part of it, nor is what runs it, which a record names in brackets behind:
`dinov2-small@1a2b3c4d.5e6f7a8b (onnx int8)`.
"""


def is_same(one: str, other: str) -> bool:
    """Whether two names of models stand for the same one, so that their vectors can be compared.

    Nothing speaks against it where one is empty; a name that an earlier version wrote tells the weights alone.
    """
    if not one or not other:
        return True
    return all(a == b for a, b in zip(_identity(one), _identity(other), strict=False))


def _identity(name: str) -> list[str]:
    name, _, _ = name.partition(" (")
    _, at, hashes = name.rpartition("@")
    return hashes.split(".") if at else [name]
