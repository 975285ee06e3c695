"""The rating model: predicts ratings from features of earlier ratings, with no parameters per user."""
