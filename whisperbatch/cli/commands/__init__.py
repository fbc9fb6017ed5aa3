"""The commands, a leaf each, imported once the command line has been understood.

start (the page without a command), run (``transcribe`` and ``watch``), bench, convert, review, search, status (and
``forget``), fetch, info.
"""
