"""Files on disk: pictures, tables, and results that appear whole or not at all.

- ``files``: list inputs, check outputs before a long run, write atomically
- ``images``, ``image_formats``: read and write pictures; refuse what is damaged or huge
- ``tables``: CSV files, also those that another program saved again
- ``locks``: one process at a time in an output folder

Imported elsewhere: ``write_atomically``, ``check_output_files``,
``make_output_folder``, ``walk``, ``read_image``, ``write_image``, ``list_images``,
``recompress``, ``read_rows``, ``lock_folder``.
"""
