"""Files on disk: pictures, tables and atomically written results.

- ``files``: list inputs, check outputs before a long run, write atomically
- ``images``, ``image_formats``: read and write pictures; reject damaged and huge ones
- ``tables``: CSV files, including those saved by a spreadsheet program
- ``locks``: one process at a time in an output folder

Imported elsewhere: ``write_atomically``, ``check_output_files``,
``make_output_folder``, ``walk``, ``read_image``, ``write_image``, ``list_images``,
``recompress``, ``read_rows``, ``lock_folder``.
"""
