"""The trainer: trains on labelled examples as they arrive, evaluates the model, and releases it."""
