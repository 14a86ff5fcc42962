"""The prepared form -> others' files, for tools that read those.

Not here: the way back (`import_/`); the driving world's table, which only its own columns make (`worlds/driving`).
"""
