"""Prediction tasks on the events of a stream, one per file: each predicts, keeps its predictions and returns training examples."""
