"""The name of this service in metrics and dead letters."""

SERVICE = "scorer"
