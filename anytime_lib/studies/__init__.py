"""Questions put to a finished run, one module each."""
