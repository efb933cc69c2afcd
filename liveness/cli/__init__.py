"""The command line: nothing else in the package imports from here.

- ``arguments``: options that several scripts share, and the types of their values
- ``run``: failures as one line, exit codes, Ctrl-C
- ``collecting``: how the scripts that collect faces report a run
- ``live_app``: options of both live apps, and the run that follows from them
"""
