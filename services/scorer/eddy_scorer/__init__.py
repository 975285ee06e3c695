"""scorer: answers requests with ranked lists, from features and item rows that it holds in memory."""
