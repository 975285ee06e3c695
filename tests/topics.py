"""Deletes topics on a real broker, behind Eddy's back."""

from aiokafka.admin import AIOKafkaAdminClient

from tests.poll import poll_until


async def delete_topic(servers: str, name: str) -> None:
    """Delete a topic (full name) and wait until the broker names it no more: before that, it cannot be created again."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()

    async def is_gone() -> bool:
        return name not in await client.list_topics()

    try:
        await client.delete_topics([name])
        await poll_until(is_gone, what=f"{name} is deleted")
    finally:
        await client.close()
