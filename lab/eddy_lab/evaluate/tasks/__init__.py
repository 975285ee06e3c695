"""What is asked about each event of a stream before it is learned, one question a file: `question.py` says what they have in common."""
