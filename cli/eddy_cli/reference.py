"""The reference pages of docs/, generated from code: `make docs` writes metrics.md, settings.md and topics.md."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from textwrap import wrap
from typing import Any, get_args

from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from eddy import metrics
from eddy.contract.reasons import REASONS
from eddy.contract.sources import SOURCES
from eddy.contract.topics import topics
from eddy.paths import checkout
from eddy.settings import FORMER_NAMES, PREFIX, Settings
from eddy_cli.replay.settings import ReplaySettings
from eddy_cli.services import SERVICES


def write_pages() -> list[Path]:
    """Write all pages into docs/ of the checkout; returns their paths. Raises ConfigError outside of a checkout."""
    folder = checkout() / "docs"
    for name, text in pages().items():
        (folder / name).write_text(text)
    return [folder / name for name in pages()]


def pages() -> dict[str, str]:
    """The text of each page, by file name."""
    texts = {"metrics.md": _metrics(), "settings.md": _settings(), "topics.md": _topics()}
    return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


def _metrics() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "Every service serves its metrics on `/metrics`. This page is generated from `shared/eddy/metrics.py` by `make docs`."
    yield ""
    yield "| metric | type | labels | description |"
    yield "|---|---|---|---|"
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (described,) = metric.describe()
            name = described.name + ("_total" if described.type == "counter" else "")
            labels = ", ".join(metric._labelnames)
            yield f"| `{name}` | {described.type} | {labels} | {described.documentation} |"
    yield ""
    yield "## Label values"
    yield ""
    for label, values in {"`reason` of dead letters": REASONS, "`source`": SOURCES, "`hop`": metrics.HOPS}.items():
        yield from wrap(f"- {label}: {_listed(values)}.", 120, subsequent_indent="  ")
    yield ""
    yield "## Former names"
    yield ""
    yield "Services export only the new names. The bundled boards and alerts query both; change your own queries."
    yield ""
    yield "| metric or `hop` | former name |"
    yield "|---|---|"
    for new, former in {**metrics.FORMER_NAMES, **metrics.FORMER_HOPS}.items():
        yield f"| `{new}` | `{former}` |"


def _topics() -> Iterator[str]:
    yield "# Topics"
    yield ""
    yield "Every topic with its record in `schemas/`, its key, and how long Kafka keeps a record. Compacted topics keep the newest"
    yield "record of each key, until the key is deleted ([erasure](erasure.md)). This page is generated from `schemas/topics.yaml`"
    yield "by `make docs`."
    yield ""
    yield "| topic | record | key | kept | written by | read by |"
    yield "|---|---|---|---|---|---|"
    for topic in topics().values():
        kept = f"{topic.retention_hours / 24:g} days" if topic.retention_hours else "newest record of each key"
        writers, readers = ", ".join(topic.producers), ", ".join(topic.consumers)
        yield f"| `{topic.name}` | `{topic.record}` | `{topic.key}` | {kept} | {writers} | {readers} |"


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Settings are environment variables. A service refuses to start with an unknown `EDDY_` variable."
    yield "This page is generated from the code by `make docs`."
    yield from _table("Every service", Settings, {})
    others: dict[str, type[Settings]] = {**SERVICES, "replay": ReplaySettings}
    for name, settings in others.items():
        yield from _table(name.capitalize(), settings, Settings.model_fields)
    yield from ("", "## Former names", "", "Former names are accepted.", "", "| variable | former name |", "|---|---|")
    for present, former in FORMER_NAMES.items():
        yield f"| `{present}` | `{former}` |"


def _table(title: str, settings: type[Settings], excluded: dict[str, FieldInfo]) -> Iterator[str]:
    yield from ("", f"## {title}", "", "| variable | default | description |", "|---|---|---|")
    for name, field in settings.model_fields.items():
        if name not in excluded:
            choices = get_args(field.annotation)
            one_of = (
                f" One of {_listed(choices)}." if choices and all(isinstance(choice, str) for choice in choices) else ""
            )
            yield f"| `{PREFIX}{name.upper()}` | {_default(field)} | {field.description}{one_of} |"


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is None or value == "" or isinstance(value, SecretStr):
        return ""
    if isinstance(value, Path):
        return f"`{value.relative_to(checkout())}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value.value if isinstance(value, Enum) else value}`"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
