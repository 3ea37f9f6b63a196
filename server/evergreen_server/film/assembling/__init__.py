"""From the outputs of a run to its exports: files are brought here, cut, rendered, and put into the film's scene."""
