"""Where transcripts go and what they are called; files on disk, each whole or not there.

namer (the path of each output, free and reserved), paths (the same as arithmetic on paths), siblings (recordings beside
a recording), provenance (whether a file was made from a transcript), atomic (a set of files, each whole or not there),
move_file (a recording to another folder).
"""
