"""What this service is called in metrics and in dead-letters."""

SERVICE = "scorer"
