"""What would the model have answered at every budget?"""
