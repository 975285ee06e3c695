"""Reading only the first fields of a record: an Avro body is its fields in order, so a reader may stop where it has what it needs."""

import io
from typing import Generic

import fastavro

from eddy.contract.codec import HEADER_BYTES, Codec, R
from eddy.errors import DecodeError


class PrefixDecoder(Generic[R]):
    """Decodes the fields of `record` up to and including `last`: what readers of every list or example need is in front."""

    def __init__(self, record: type[R], last: str) -> None:
        self._codec = Codec.of(record)
        fields = self._codec.schema["fields"]
        end = 1 + [field["name"] for field in fields].index(last)
        plain = {"type": "record", "name": self._codec.schema["name"], "fields": fields[:end]}
        self._schema = fastavro.parse_schema(plain)

    def decode(self, payload: bytes) -> R:
        """The leading fields; all of them where an older version of the schema wrote the bytes. Raises DecodeError.

        What comes after is not looked at: bytes that are broken there pass.
        """
        if payload[:HEADER_BYTES] != self._codec.header:
            return self._codec.decode(payload)
        body = io.BytesIO(payload)
        body.seek(HEADER_BYTES)
        try:
            record: R = fastavro.schemaless_reader(body, self._schema, None)
        except Exception as error:  # fastavro raises whatever the bytes lead to
            raise DecodeError(f"not a {self._codec.record}: {type(error).__name__} {error}") from error
        return record
