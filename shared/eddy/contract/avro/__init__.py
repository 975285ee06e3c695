"""Avro's binary encoding (specification 1.11) by hand: one packer and one reader for every service.

fastavro decodes a whole record into Python objects. Where a record is mostly what it was before (a user's state) or mostly passed on as it
is (a slate that becomes an example), its parts are found, kept and joined as bytes instead, several times faster. `values` packs and reads
single values, `arrays` whole arrays; `eddy.contract.codec.frozen_header` names the version of a record whose field order such code follows.
"""
