"""Shared code of the face liveness scripts.

Map of the package, in the order in which a picture travels:

==========================  =========================================================
``webcam``, ``ip_webcam``   pictures from cameras and phones; threads, reconnecting
``ffmpeg``, ``film``        a video file's or stream's frames and their times
``deinterlacing``           whole pictures from half ones
``developing``              pictures of frames: colours, square pixels, upright
``network_stream``          RTSP cameras
``source``, ``video_file``  what a frame source is; every frame of a file
``frames``                  the newest frame of a live source; opening any source
``camera_address``          a camera's URL, taken apart so that no password is shown
``camera_http``             login, redirects and time limits over HTTP
``images``, ``files``       pictures on disk; files listed, and written whole
``image_formats``           what a header says, and whether a picture is whole
``tables``                  CSV files, also those that were saved again elsewhere
``boxes``                   box arithmetic, no pictures
``faces``                   SSD ResNet-10 face detector
``preprocess``              face crop and model input: the one crop geometry
``examining``               best faces of pictures and of every n-th frame of videos
``collecting``, ``locks``   them to a dataset folder, one process at a time
``dataset``                 dataset folder to samples, labels and splits
``simulate``                print and replay attacks made from bona fide pictures
``augment``                 what other cameras would have done to a picture
``recipe``, ``pixels``      how to train; samples as pictures that training reads
``training``                samples to a trained network
``pretrained``              weights from ImageNet that a training starts from
``checkpoint``              where a training goes on after a break
``sites``, ``folds``        sites left out, their rates; trainings without them
``workers``                 what a process that works for another one does first
``memory``                  freed memory is kept for the next training step
``labels``                  class names, their order, the label encoder's file
``model_files``             the trained model on disk
``classifier``              face crops in, liveness scores out
``metrics``                 ISO/IEC 30107-3 error rates
``evaluation``, ``plots``   reports and figures of them
``changes``                 faces in other light, colours and focus, to measure with
``tracks``, ``quality``     one verdict per person and what stands in its way
``dlib_faces``              encodings and landmarks
``identity``                the known people, and the nearest of them
``enrolling``               pictures of people to that file
``challenge``               active challenge: blink or turn the head
``persons``                 identity and challenge on top of a verdict
``verdicts``                what is said about one face
``live``, ``live_cli``      the loop of the live apps, and their options
``overlay``, ``window``     what they draw, and where
``recorder``, ``progress``  annotated videos; how far a long run is
``silence``                 lines of C libraries kept off the terminal
``cli``, ``errors``         arguments, logging, exit codes, failures
``constants``               numbers that many share
==========================  =========================================================
"""
