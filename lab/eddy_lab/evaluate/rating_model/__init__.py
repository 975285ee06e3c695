"""How much a user will like an item: features as of the moment from ratings alone, and a small model of them. No parameters of a user."""
