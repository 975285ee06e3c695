"""scorer: answers recommendation requests with ranked slates, from features and item embeddings in memory."""
