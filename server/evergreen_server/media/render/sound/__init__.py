"""The sound of a film: one mix, as loud as was asked for."""
