"""Shared code of the face liveness scripts.

Map of the package, in the order in which a picture travels:

========================  =====================================================
``frames``                frame sources: video file, webcam, IP Webcam
``images``                read, list and write pictures
``faces``                 SSD ResNet-10 face detector
``boxes``                 box arithmetic, no pictures
``preprocess``            face crop and model input: the one crop geometry
``collecting``            detector and crop to a dataset folder
``dataset``               dataset folder to samples, labels and splits
``simulate``              print and replay attacks made from bona fide pictures
``labels``                class names, their order, the label encoder's file
``model_files``           the trained model on disk
``classifier``            face crops in, liveness scores out
``metrics``, ``plots``    ISO/IEC 30107-3 error rates and figures
``tracks``, ``quality``   one verdict per person and what stands in its way
``challenge``             active challenge: blink or turn the head
``identity``              who it is: face encodings
``persons``               identity and challenge on top of a verdict
``overlay``, ``live``     what the live apps draw, and their loop
``cli``, ``errors``       arguments, logging, exit codes, failures
========================  =====================================================
"""
