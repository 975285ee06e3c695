"""Actions that the model predicts, one head each, by name.

To add one, append a line here and use it in scenarios.yaml; a checkpoint or a release without it goes on. To rename one, put its former
name among its aliases. To take one away, take it out of scenarios.yaml and delete its line.
"""

from eddy.contract.columns import Named, aliases_of, names_of

DECLARED_ACTIONS = (
    Named("click", "Opened the item."),
    Named("view", "Looked at the item's page."),
    Named("play", "Started to play the item."),
    Named("like", "Marked the item as liked."),
    Named("rate", "Rated the item, usually with a value."),
    Named("comment", "Wrote about the item."),
    Named("share", "Passed the item on."),
    Named("add_to_cart", "Put the item into the shopping cart."),
    Named("purchase", "Bought the item."),
    Named("follow", "Subscribed to what the item stands for."),
    Named("save", "Kept the item for later: a wish list, a bookmark."),
    Named("complete", "Played or read the item to its end."),
)

ACTIONS = names_of(DECLARED_ACTIONS)
ACTION_ALIASES = aliases_of(DECLARED_ACTIONS)
