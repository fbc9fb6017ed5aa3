"""Output files: choose their names, write them atomically, and move finished recordings.

Modules: namer (chooses and reserves a free name for each recording), paths (folders and file names, computed without
disk access), siblings (recordings in the same folder, whose outputs could clash), existing (outputs of earlier runs),
provenance (whether a file was made from a transcript), atomic (write several files, each complete or absent), move_file
(move a recording to another folder).
"""
