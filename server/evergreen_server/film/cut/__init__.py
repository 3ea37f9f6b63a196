"""From what was made for a film to its cut, and to the files that lie beside it; pure."""
