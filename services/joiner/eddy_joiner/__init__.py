"""Gives every shown item exactly one label: recommendations joined with what users did."""
