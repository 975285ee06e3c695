"""Checks topics against schemas/topics.yaml, and lists the ACLs of the services."""
