"""The dataset: face crops taken from films and pictures, and read back as samples.

- ``extraction``: best faces of pictures and of every n-th frame of videos
- ``crops_folder``: crops and their rows into a folder
- ``tally``: what a run of collecting came to
- ``crops_table``: ``crops.csv``, as writer and reader know it
- ``sheet``: a contact sheet of crops
- ``dataset``: folders to samples, labels, sites and an honest split

Imported elsewhere: ``extract_faces``, ``Input``, ``Extraction``, ``DatasetFolder``,
``Tally``, ``Sample``, ``read_dataset``, ``split_samples``.
"""
