"""The live console at `/`: see a feed change by what one does, and the model learn. Static files and three routes of its own."""
