"""The actions that the model predicts, one head each.

To add one, append a line here and use it in scenarios.yaml; checkpoints and releases without it stay usable. To rename one, add its former
name to its aliases. To remove one, remove it from scenarios.yaml and delete its line.
"""

from eddy.contract.columns import NamedColumn, aliases_of, names_of

DECLARED_ACTIONS = (
    NamedColumn("click", "Opened the item."),
    NamedColumn("view", "Looked at the item's page."),
    NamedColumn("play", "Started to play the item."),
    NamedColumn("like", "Marked the item as liked."),
    NamedColumn("rate", "Rated the item, usually with a value."),
    NamedColumn("comment", "Wrote about the item."),
    NamedColumn("share", "Shared the item with others."),
    NamedColumn("add_to_cart", "Put the item into the shopping cart."),
    NamedColumn("purchase", "Bought the item."),
    NamedColumn("follow", "Subscribed to the creator or topic of the item."),
    NamedColumn("save", "Saved the item for later: a wish list, a bookmark."),
    NamedColumn("complete", "Played or read the item to its end."),
)

ACTIONS = names_of(DECLARED_ACTIONS)
ACTION_ALIASES = aliases_of(DECLARED_ACTIONS)
