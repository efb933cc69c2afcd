"""Sources of frames: webcams, phones, network cameras and video files.

- ``frames``: open any source; read the newest frame of a live one
- ``source``: the interface of a source, and the frames it returns
- ``webcam``, ``ip_webcam``, ``network_stream``: the three kinds of camera
- ``camera_address``, ``camera_http``: a camera's URL, login and redirects
- ``video_file``, ``film``, ``deinterlacing``, ``developing``: the frames of a file,
  their times, colours and orientation
- ``ffmpeg``: PyAV, imported in one place

Imported elsewhere: ``open_source``, ``open_webcam``, ``open_ip_webcam``, ``Frame``,
``FrameSource``, ``VideoFile``, ``FpsMeter``.
"""
