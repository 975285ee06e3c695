"""Releases are accepted with a signature of a known key over all fields alone."""

import json
import math
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eddy.contract.codec import Codec, former_versions, load_schema
from eddy.contract.limits import MAX_GRAPH_BYTES, MAX_VERSION
from eddy.contract.records import ModelRelease
from eddy.contract.releases import ReleaseKeys, sign_release, signed_bytes
from eddy.errors import ConfigError, PoisonError
from eddy.keys import add_public_key, create_signing_key, ensure_keys, read_release_keys, read_signing_key
from eddy.paths import SCHEMAS
from tests.release_keys import KEYS, OTHER_KEY, SIGNING_KEY

KEY = b"champion"
CODEC = Codec.of(ModelRelease)
FIELDS = [field["name"] for field in CODEC.schema["fields"] if field["name"] != "signature"]


def unsigned(**changes: Any) -> ModelRelease:
    record: Any = {
        "slot": "champion",
        "version": 8,
        "contract": "0123456789abcdef",
        "encode": b"encode",
        "rank": b"rank",
        "embedding_offsets": [1, 2],
        "trained_through": [3, 4],
        "metrics": {"acted_at": 1.7e12, "progressive_log_loss": 0.5},
        "released_at": 1_700_000_000_000,
        "signature": "",
        "features": ["a", "b"],
        "actions": ["click"],
    }
    release: ModelRelease = {**record, **changes}
    return release


def reason_of(release: ModelRelease, keys: ReleaseKeys = KEYS, key: bytes | None = KEY) -> str:
    with pytest.raises(PoisonError) as refused:
        keys.check(release, key)
    return refused.value.reason


def test_signed_release_is_accepted_also_after_avro() -> None:
    signed = sign_release(unsigned(), SIGNING_KEY)
    KEYS.check(signed, KEY)
    KEYS.check(CODEC.decode(CODEC.encode(signed)), KEY)
    # A map has no order.
    reordered = signed.copy()
    reordered["metrics"] = dict(reversed(signed["metrics"].items()))
    KEYS.check(reordered, KEY)


CHANGES: dict[str, Any] = {
    "slot": "challenger",
    "version": 9,
    "contract": "0123456789abcdee",
    "encode": b"encodf",
    "rank": b"",
    "embedding_offsets": [1, 3],
    "trained_through": [3],
    "metrics": {"acted_at": 1.7e12, "progressive_log_loss": math.nextafter(0.5, 1)},
    "released_at": 1_700_000_000_001,
    "features": ["a", "b", "c"],
    "actions": [],
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_signed(field: str) -> None:
    signed: Any = sign_release(unsigned(), SIGNING_KEY)
    assert reason_of({**signed, field: CHANGES[field]}) == "bad_signature"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"encode": b"ab", "rank": b"c"}, {"encode": b"a", "rank": b"bc"}),
        ({"features": ["a", "b"], "actions": ["c"]}, {"features": ["a"], "actions": ["b", "c"]}),
        ({"features": ["ab"]}, {"features": ["a", "b"]}),
        ({"embedding_offsets": [1], "trained_through": []}, {"embedding_offsets": [], "trained_through": [1]}),
        ({"slot": "champion8", "version": 1}, {"slot": "champion", "version": 81}),
        ({"metrics": {"ab": 0.0}}, {"metrics": {"a": 0.0, "b": 0.0}}),
        ({"metrics": {"a": 0.0}}, {"metrics": {"a": -0.0}}),
        ({"features": [], "actions": ["features"]}, {"features": ["features"], "actions": []}),
    ],
)
def test_different_releases_have_different_bytes(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert signed_bytes(unsigned(**one)) != signed_bytes(unsigned(**other))


def test_a_field_at_its_default_is_left_out_of_the_signed_bytes() -> None:
    """A reader of a newer schema sees the default of a field that the writer did not know."""
    former = load_schema(former_versions("model_release")[0])
    without_names = signed_bytes(unsigned(features=[], actions=[]))
    assert b"features" not in without_names
    assert {field["name"] for field in former["fields"]} == {*FIELDS, "signature"} - {"features", "actions"}


def test_defaults_of_a_release_never_change() -> None:
    """A changed default would change the meaning of signed bytes without it."""
    defaults: dict[str, Any] = {}
    for path in (*former_versions("model_release"), SCHEMAS / "model_release.avsc"):
        for field in json.loads(path.read_text())["fields"]:
            if "default" in field:
                assert defaults.setdefault(field["name"], field["default"]) == field["default"], path


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda signed: {**signed, "signature": ""}, id="none"),
        pytest.param(lambda signed: {**signed, "signature": "0" * 64}, id="the hash of former versions"),
        pytest.param(lambda signed: sign_release(signed, OTHER_KEY), id="another key"),
        pytest.param(
            lambda signed: {
                **signed,
                "signature": sign_release(signed, OTHER_KEY)["signature"]
                .rpartition(":")[2]
                .join([signed["signature"].rpartition(":")[0] + ":", ""]),
            },
            id="another key that claims to be ours",
        ),
        pytest.param(lambda signed: {**signed, "signature": signed["signature"] + "\n"}, id="surplus characters"),
        pytest.param(lambda signed: {**signed, "signature": signed["signature"][:-4]}, id="truncated"),
        pytest.param(lambda signed: {**signed, "signature": "ed25519:\u00e9:\u00e9"}, id="not base64"),
        pytest.param(lambda signed: {**signed, "signature": signed["signature"].upper()}, id="another letter case"),
    ],
)
def test_forged_signature_is_refused(forge: Callable[[Any], ModelRelease]) -> None:
    assert reason_of(forge(sign_release(unsigned(), SIGNING_KEY))) == "bad_signature"


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": MAX_VERSION + 1},
        {"metrics": {"acted_at": math.nan}},
        {"metrics": {"video/log_loss": math.inf}},
        {"metrics": {"acted_at": -1.0}},
        {"metrics": {"acted_at": 1e300}},
        {"metrics": {"x": struct.unpack("<d", b"\x01\x00\x00\x00\x00\x00\xf0\xff")[0]}},
        {"encode": b""},
        {"rank": b"x" * (MAX_GRAPH_BYTES + 1)},
        {"embedding_offsets": [-1]},
        {"trained_through": [-5]},
        {"released_at": -1},
        {"released_at": 2**62},
        {"features": ["a", "a"]},
        {"actions": [""]},
        {"features": ["x" * 10_000]},
    ],
)
def test_a_signature_does_not_make_nonsense_valid(changes: dict[str, Any]) -> None:
    assert reason_of(sign_release(unsigned(**changes), SIGNING_KEY)) == "bad_release"


def test_release_under_another_key_of_the_topic_is_refused() -> None:
    signed = sign_release(unsigned(), SIGNING_KEY)
    assert reason_of(signed, key=b"challenger") == "wrong_key"
    assert reason_of(signed, key=None) == "wrong_key"


def test_keys_are_created_once_and_rotated(tmp_path: Path) -> None:
    private, public = tmp_path / "keys" / "signing.pem", tmp_path / "keys" / "public.pem"
    ensure_keys(private, public)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    first = read_signing_key(private)
    ensure_keys(private, public)
    assert read_signing_key(private).private_bytes_raw() == first.private_bytes_raw()
    with pytest.raises(ConfigError, match="exists"):
        create_signing_key(private)
    second = create_signing_key(tmp_path / "keys" / "second.pem")
    add_public_key(public, second.public_key())
    add_public_key(public, second.public_key())
    assert public.read_text().count("BEGIN PUBLIC KEY") == 2
    both = read_release_keys(public)
    for key in (first, second):
        both.check(sign_release(unsigned(), key), KEY)
    assert reason_of(sign_release(unsigned(), second), ReleaseKeys([first.public_key()])) == "bad_signature"
    assert sorted(path.name for path in private.parent.iterdir()) == ["public.pem", "second.pem", "signing.pem"]


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_unusable_key_files_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "keys.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"EDDY_RELEASE_PUBLIC_KEYS.*keys\.pem"):
        read_release_keys(path)
    with pytest.raises(ConfigError, match=r"EDDY_TRAINER_SIGNING_KEY.*keys\.pem"):
        read_signing_key(path)
