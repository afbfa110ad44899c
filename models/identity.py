"""Identity of models: the hash of their weights and of the files that describe their preprocessing.

A model's name ends in its identity, as in `dinov2-small@1a2b3c4d.5e6f7a8b`: first the weights, then the preprocessing
if the model has such files. Neither the source of the weights nor the engine that runs them is part of it; a record
appends the engine in brackets: `dinov2-small@1a2b3c4d.5e6f7a8b (onnx int8)`.
"""


def is_same(one: str, other: str) -> bool:
    """Check whether two names denote the same model, so that their embeddings are comparable.

    An empty name matches every other. Names written by early versions have no preprocessing hash; then only the weights
    are compared.

    >>> is_same("vit@1a2b3c4d.5e6f7a8b (onnx int8)", "vit@1a2b3c4d")
    True
    >>> is_same("vit@1a2b3c4d", "vit@00000000")
    False
    """
    if not one or not other:
        return True
    return all(a == b for a, b in zip(_identity(one), _identity(other), strict=False))


def _identity(name: str) -> list[str]:
    name, _, _ = name.partition(" (")
    _, at, hashes = name.rpartition("@")
    return hashes.split(".") if at else [name]
