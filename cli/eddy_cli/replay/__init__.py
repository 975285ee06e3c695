"""Plays a data set through the whole loop, as its users would live it, and judges what comes back."""
