"""Topics on a broker, compared with schemas/topics.yaml, and who may do what with them."""
