"""The commands, a module for each, imported after the command line has been parsed.

start (the page without a command), run (``transcribe`` and ``watch``), bench, convert, review, search, status (and
``forget``), fetch, info.
"""
