"""How fast the project is; nobody who uses the project needs this folder.

It compares the scripts with the usual way of writing them.

Run from the folder of the scripts: ``python -m benchmarks.run_all``, or one row,
such as ``python -m benchmarks.picture``. The modules named ``usual_...`` are plain
versions of what tools of this kind do; they exist to be measured.
"""
