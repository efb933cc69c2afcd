"""Where frames come from: webcams, phones, network cameras and video files.

- ``frames``: open any source; the newest frame of a live one
- ``source``: what a source is and what it gives
- ``webcam``, ``ip_webcam``, ``network_stream``: the three kinds of camera
- ``camera_address``, ``camera_http``: a camera's URL, login and redirects
- ``video_file``, ``film``, ``deinterlacing``, ``developing``: frames of a file, their
  times, colours and orientation
- ``ffmpeg``: PyAV, imported in one place

Imported elsewhere: ``open_source``, ``open_webcam``, ``open_ip_webcam``, ``Frame``,
``FrameSource``, ``VideoFile``, ``FpsMeter``.
"""
