"""What a run needs beside itself: its cost beforehand, others' traces, an explorer, export, explanations."""
