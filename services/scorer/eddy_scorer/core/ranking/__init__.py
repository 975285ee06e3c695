"""From a batch of requests to slates."""
