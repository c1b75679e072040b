"""Which problems are there, how are they asked, and how is an answer graded? One module per task."""
