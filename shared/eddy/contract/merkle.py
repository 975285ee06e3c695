"""Merkle trees (Merkle 1987): one signature of the root vouches for many records, each with the path from its hash to the root.

Leaves and inner nodes are hashed differently, as in Certificate Transparency (RFC 6962, section 2.1), so that neither passes for the other.
A node is the first 16 bytes of a SHA-256: to forge a record of a signed tree takes a second preimage. A node without a sibling is its own
parent.
"""

from collections.abc import Sequence
from hashlib import sha256

NODE_BYTES = 16


def leaf(content: bytes) -> bytes:
    """The node of a record."""
    return sha256(b"\0" + content).digest()[:NODE_BYTES]


class MerkleTree:
    """The tree of one or more leaves."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(level := self._levels[-1]) > 1:
            pairs = [level[start : start + 2] for start in range(0, len(level), 2)]
            self._levels.append([_parent(*pair) if len(pair) == 2 else pair[0] for pair in pairs])

    @property
    def root(self) -> bytes:
        return self._levels[-1][0]

    def path(self, index: int) -> bytes:
        """The siblings of the leaf and of its ancestors, from the leaf upwards."""
        siblings = []
        for level in self._levels[:-1]:
            siblings += level[index ^ 1 : (index ^ 1) + 1]
            index //= 2
        return b"".join(siblings)


def root_of(node: bytes, index: int, size: int, path: bytes) -> bytes | None:
    """The root of a tree with `size` leaves in which `node` is leaf number `index`; None for a path of another length."""
    if not 0 <= index < size:
        return None
    start = 0
    while size > 1:
        if index ^ 1 < size:
            sibling = path[start : start + NODE_BYTES]
            start += NODE_BYTES
            node = _parent(sibling, node) if index & 1 else _parent(node, sibling)
        index, size = index // 2, (size + 1) // 2
    return node if start == len(path) else None


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()[:NODE_BYTES]
