"""The door to the program: a name that is nobody else's, before packages whose names are general."""
