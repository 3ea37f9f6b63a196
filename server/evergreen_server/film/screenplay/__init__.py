"""Scripts: found out by their content, and read in five forms.

Pure: the same text gives the same result, and every fault is named with its line. No I/O.
"""
