"""Decodes only the first fields of a record. The Avro body has the fields in order, so a reader can stop early."""

import io
from typing import Generic

import fastavro

from eddy.contract.codec import HEADER_BYTES, Codec, R
from eddy.errors import DecodeError


class PrefixDecoder(Generic[R]):
    """Decodes the fields of `record` up to and including `last`."""

    def __init__(self, record: type[R], last: str) -> None:
        self._codec = Codec.of(record)
        fields = self._codec.schema["fields"]
        end = 1 + [field["name"] for field in fields].index(last)
        plain = {"type": "record", "name": self._codec.schema["name"], "fields": fields[:end]}
        self._schema = fastavro.parse_schema(plain)

    def decode(self, payload: bytes) -> R:
        """The leading fields; all fields of a record in an older version of the schema. Raises DecodeError.

        Errors in the remaining bytes are not detected.
        """
        if payload[:HEADER_BYTES] != self._codec.header:
            return self._codec.decode(payload)
        body = io.BytesIO(payload)
        body.seek(HEADER_BYTES)
        try:
            record: R = fastavro.schemaless_reader(body, self._schema, None)
        except Exception as error:  # fastavro raises errors of many types
            raise DecodeError(f"not a {self._codec.record}: {type(error).__name__} {error}") from error
        return record
