"""What is put around and into a foreign graph; and the same in NumPy, around the graph as it was."""
