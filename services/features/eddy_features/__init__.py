"""The features service: cleans events, maintains user and item state, and publishes both."""
