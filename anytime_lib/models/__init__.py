"""How is a model reached, and what did it say?"""
