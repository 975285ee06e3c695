"""Features: cleans events, keeps user and item state, publishes both."""
