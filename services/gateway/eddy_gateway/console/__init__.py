"""The live console at `/`: recommendations that change with each action, and charts of the loop. Static files and three routes."""
