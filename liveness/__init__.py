"""Shared code of the face liveness scripts, one room per subject.

==============  =====================================================================
``io``          files on disk: pictures, tables, results written whole or not at all
``sources``     frames of webcams, phones, network cameras and video files
``faces``       faces in a picture: detected, cut out, checked for quality
``model``       the trained model: its files, how it runs, verdicts
``data``        the dataset: crops taken from films, and read back as samples
``simulation``  print and replay attacks made from bona fide pictures
``training``    samples to a trained network
``evaluation``  ISO/IEC 30107-3 rates, reports, figures, sites left out
``people``      known people, and challenges
``live``        the loop of the live apps, tracks and outputs
``web``         the web app: accounts, face checks, pages, and what protects them
``workflow``    what the scripts do, as functions with plain arguments
``cli``         options, exit codes, failures as one line
==============  =====================================================================

Beside them: ``constants`` (values that many share), ``errors`` (what a user can cause),
``processes`` (logging, workers, memory of this process), ``cluster`` (calls on the
workers of a Dask scheduler) and ``progress``.

Imports go one way, from the scripts down: cli, web, workflow, live and evaluation,
people and training, data and simulation, model, faces and sources, io. ``lint-imports``
keeps it so; the contract stands in ``pyproject.toml``. Each room's docstring names its
modules. To use the package from Python, see ``docs/python.md``.
"""
