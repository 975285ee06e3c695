"""From a batch of requests to recommendations."""
