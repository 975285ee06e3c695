"""Where a candidate comes from: a closed set."""

SOURCES = ("encoder", "covisited", "trending", "fresh", "random", "given", "query")
