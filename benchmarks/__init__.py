"""How fast the project is, beside the usual way of writing such scripts.

Run from the folder of the scripts: ``python -m benchmarks.run_all``, or one row,
such as ``python -m benchmarks.picture``. The modules named ``usual_...`` are plain
versions of what tools of this kind do; they exist to be measured.
"""
