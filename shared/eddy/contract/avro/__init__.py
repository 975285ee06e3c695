"""Encoding and decoding of parts of Avro records (specification 1.11), shared by all services.

fastavro decodes a whole record into Python objects. Some records change little (a user's state) or are mostly copied (a slate that becomes
an example). For these it is several times faster to locate, keep and join encoded parts. `values` handles single values, `arrays` whole
arrays; `eddy.contract.codec.frozen_header` names the version of a record whose field order such code follows.
"""
