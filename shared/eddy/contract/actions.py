"""Actions that the model predicts, one head each, by name.

To add one, append a line here and use it in scenarios.yaml; a checkpoint or a release without it goes on. To rename one, put its former
name among its aliases. To take one away, take it out of scenarios.yaml and delete its line.
"""

from eddy.contract.columns import NamedColumn, aliases_of, names_of

DECLARED_ACTIONS = (
    NamedColumn("click", "Opened the item."),
    NamedColumn("view", "Looked at the item's page."),
    NamedColumn("play", "Started to play the item."),
    NamedColumn("like", "Marked the item as liked."),
    NamedColumn("rate", "Rated the item, usually with a value."),
    NamedColumn("comment", "Wrote about the item."),
    NamedColumn("share", "Passed the item on."),
    NamedColumn("add_to_cart", "Put the item into the shopping cart."),
    NamedColumn("purchase", "Bought the item."),
    NamedColumn("follow", "Subscribed to what the item stands for."),
    NamedColumn("save", "Kept the item for later: a wish list, a bookmark."),
    NamedColumn("complete", "Played or read the item to its end."),
)

ACTIONS = names_of(DECLARED_ACTIONS)
ACTION_ALIASES = aliases_of(DECLARED_ACTIONS)
