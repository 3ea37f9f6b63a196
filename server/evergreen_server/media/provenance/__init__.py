"""C2PA: films are signed, with the clips that they are cut from as ingredients, in a process of their own."""
