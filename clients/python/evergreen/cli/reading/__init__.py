"""What the words of a command line mean: inputs, times, paths, ids, settings of films."""
