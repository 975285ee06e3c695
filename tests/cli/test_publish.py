"""The examples of docs/publish-events.md give messages that Eddy reads."""

import json
import re
import subprocess
import sys
import time

import pytest

from eddy.contract.codec import Codec
from eddy.contract.topics import USER_EVENTS
from eddy.errors import ConfigError
from eddy.kafka.bus import Bus
from eddy.paths import REPO_ROOT
from eddy.settings import Settings
from eddy_cli.encode import encoded
from tests.service import read_all

PAGE = (REPO_ROOT / "docs" / "publish-events.md").read_text()


@pytest.mark.parametrize(("number", "name"), [(0, "python"), (1, "confluent")])
async def test_the_python_of_the_page_publishes_an_event(
    kafka: str, registry: str, topic_prefix: str, number: int, name: str
) -> None:
    bus = Bus(Settings(kafka_bootstrap_servers=kafka, topic_prefix=topic_prefix, schema_registry_url=registry))
    await bus.create_topics()
    program = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[number]
    program = program.replace("127.0.0.1:19092", kafka).replace('"user-events"', f'"{topic_prefix}user-events"')
    program = program.replace("http://127.0.0.1:8081/apis/ccompat/v7", registry)
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO_ROOT, capture_output=True, text=True, check=False)  # noqa: ASYNC221
    assert done.returncode == 0, done.stderr
    (message,) = await read_all(bus, USER_EVENTS)
    record = Codec.for_topic(USER_EVENTS).decode(message.value)
    assert (record["event_id"], record["item_id"], record["value"]) == (f"{name}-1", "i1", 120.0)
    assert message.key == f"u-{name}".encode()
    assert message.partition == bus.partition_of(f"u-{name}")


@pytest.mark.broker
def test_the_json_of_the_page_is_encoded() -> None:
    match = re.search(r"(echo '.*') \\\n", PAGE)
    assert match
    text = subprocess.run(["sh", "-c", match[1]], capture_output=True, text=True, check=True).stdout
    record = Codec.of("user_event").decode(encoded("user_event", text))
    assert abs(record["occurred_at"] / 1000 - time.time()) < 60
    assert record["event_id"] == "kcat-1"
    assert record["attributes"] == {}


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"event_id": "e"}), json.dumps({"colour": "red"})])
@pytest.mark.broker
def test_invalid_record_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="standard input is not a valid user_event: ") as refused:
        encoded("user_event", text)
    assert "\n" not in str(refused.value)
