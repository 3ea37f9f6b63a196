"""Scripts: found out by their content, read in five forms, and divided into scenes, shots and spoken lines.

Pure: the same text gives the same result, and every fault is named with its line. No I/O.
"""
