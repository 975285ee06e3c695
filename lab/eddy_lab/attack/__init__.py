"""Attacks on the recommender, and what they achieve."""
