"""Valid small files of every reader, damaged at random in guarded processes: ``python -m tests.fuzz --cases 2000``.

A case is a failure if the reader raises anything but a typed error with explained codes, ends its process, takes more
than 20 s or 1 GB, or executes what the file brings along.
"""
